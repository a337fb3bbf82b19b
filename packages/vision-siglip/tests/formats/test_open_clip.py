"""SigLIP from open_clip's files against open_clip's own model and transform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.initialization import no_init_weights

import mmmodal
import tiny_open_clip as tiny
from mmmodal.cli.main import run
from mmmodal.errors import PartError
from mmmodal.making.loading import save
from mmmodal.testing import EncoderTests
from mmmodal_vision_siglip import Siglip
from worlds import picture

SAFE, PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"


def loaded(encoder: Siglip, source: str | Path) -> nn.Module:
    with no_init_weights():
        tower = encoder.build().eval()
    tower.load_state_dict(dict(encoder.load(str(source))))
    return tower


def features(source: str | Path, pixels: Tensor, **options: Any) -> Tensor:
    """Encode pixels [N, 3, H, W] as [N, h * w, D] with our tower."""
    tower = loaded(Siglip.from_source(str(source), options), source)
    with torch.no_grad():
        return torch.stack(tower(pixels)).flatten(1, 3)


def layers(trunk: nn.Module, pixels: Tensor) -> list[Tensor]:
    """Return what each block of timm's trunk makes of pixels [N, 3, H, W], each [N, h * w, D]."""
    with torch.no_grad():
        found: list[Tensor] = trunk.forward_intermediates(
            pixels, output_fmt="NLC", norm=False, intermediates_only=True
        )
    return found


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_clip")
    tiny.write(folder, tiny.model_config())
    return folder


def change(path: Path, key: str, **values: Any) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, key: {**config[key], **values}}))


class TestSiglipOfOpenClip(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Siglip:
        return Siglip.from_source(str(folder), {})


@pytest.mark.parametrize("trunk", [tiny.EXACT, tiny.TANH])
@pytest.mark.parametrize("layer", [-1, -2, -3, 1, 3])
def test_features_are_the_layers_of_open_clip(
    tmp_path: Path, pixels: Tensor, trunk: str, layer: int
) -> None:
    model = tiny.write(tmp_path, tiny.model_config(trunk))
    states = [pixels, *layers(model.visual.trunk, pixels)]
    assert_same(features(tmp_path, pixels, select_layer=layer), states[layer])


@pytest.mark.parametrize("trunk", [tiny.EXACT, tiny.TANH])
def test_last_layer_with_post_norm_is_what_open_clip_pools(
    tmp_path: Path, pixels: Tensor, trunk: str
) -> None:
    model = tiny.write(tmp_path, tiny.model_config(trunk))
    with torch.no_grad():
        expected = model.visual.trunk.forward_features(pixels)
    assert_same(features(tmp_path, pixels, select_layer=-1, post_norm=True), expected)


BASE = {"ViT-B-16-SigLIP-256": "gelu", "ViT-B-32-SigLIP2-256": "gelu_pytorch_tanh"}


@pytest.fixture(scope="module", params=BASE)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a name of open_clip, its real image tower with random weights, and their file."""
    name: str = request.param
    config = open_clip.get_model_config(name)
    text = {"vocab_size": 8, "context_length": 4, "width": 16, "heads": 2, "layers": 1}
    model = tiny.model_of({**config, "text_cfg": text})
    file = tmp_path_factory.mktemp(name) / "epoch_1.safetensors"
    save_file(model.state_dict(), file)
    return name, model, file


def test_base_size_equals_open_clip_in_both_forms_of_gelu(base: Any) -> None:
    name, model, file = base
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    states = layers(model.visual.trunk, pixels)
    encoder = Siglip.from_source(f"{name}:{file}", {})
    assert encoder.tower_config.hidden_act == BASE[name]
    tower = loaded(encoder, f"{name}:{file}")
    with torch.no_grad():
        assert_same(torch.stack(tower(pixels)).flatten(1, 3), states[-2])
        # The other form would be seen.
        other = ({*BASE.values()} - {BASE[name]}).pop()
        for layer in tower.encoder.layers:
            layer.mlp.activation_fn = ACT2FN[other]
        difference = torch.stack(tower(pixels)).flatten(1, 3) - states[-2]
        assert difference.abs().max() > 1e-4


def test_base_size_with_post_norm_equals_open_clip(base: Any) -> None:
    name, model, file = base
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.visual.trunk.forward_features(pixels)
    found = features(f"{name}:{file}", pixels, select_layer=-1, post_norm=True)
    assert_same(found, expected)


def test_file_of_a_base_model_tells_its_tower_by_its_shapes(base: Any) -> None:
    name, _, file = base
    # Several models have this tower, but all of them the same, so nothing is left to ask.
    named, guessed = (Siglip.from_source(s, {}) for s in (f"{name}:{file}", str(file)))
    assert guessed.options == named.options
    assert guessed.tower_config.to_dict() == named.tower_config.to_dict()


def test_name_and_tag_are_taken_from_the_hub_cache_offline(
    base: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, file = base
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / f"models--timm--{name}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / SAFE).symlink_to(file)
    expected = dict(Siglip.from_source(f"{name}:{file}", {}).load(f"{name}:{file}"))
    for source in (name, f"{name}:webli", f"{name}:WEBLI"):
        encoder = Siglip.from_source(source, {})
        found = dict(encoder.load(source))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)
    with pytest.raises(PartError, match="open_clip cannot download it"):
        dict(Siglip.from_source("ViT-B-16-SigLIP", {}).load("ViT-B-16-SigLIP"))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(32, 32), (57, 20), (20, 57), (640, 481), (3, 90), (1, 1)])
def test_pixels_are_those_of_open_clip(
    copy: Path, size: tuple[int, int], mode: str, interpolation: str
) -> None:
    settings = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
    settings |= {"interpolation": interpolation, "resize_mode": mode, "fill_color": 9}
    change(copy / "open_clip_config.json", "preprocess_cfg", **settings)
    transform = image_transform_v2(PreprocessCfg(size=32, **settings), is_train=False)
    found = Siglip.from_source(str(copy), {}).preprocess(picture(1, size))
    assert (found - transform(picture(1, size))).abs().max() <= 1e-5


def test_pixels_of_a_named_model_are_those_of_its_own_transform(base: Any) -> None:
    name, _, file = base
    tag = open_clip.get_pretrained_cfg(name, "webli")
    settings = {key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    transform = image_transform_v2(PreprocessCfg(size=256, **settings), is_train=False)
    encoder = Siglip.from_source(f"{name}:{file}", {})
    for size in ((300, 200), (40, 1000)):
        difference = encoder.preprocess(picture(1, size)) - transform(picture(1, size))
        assert difference.abs().max() <= 1e-5


def test_what_a_config_leaves_open_is_as_open_clip_has_it(copy: Path) -> None:
    config = json.loads((copy / "open_clip_config.json").read_text())
    (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": config["model_cfg"]}))
    options = Siglip.from_source(str(copy), {}).options
    defaults = PreprocessCfg()
    assert options.resize_mode == defaults.resize_mode == "shortest"
    assert options.image_mean == pytest.approx(defaults.mean)


def test_a_thin_strip_is_not_made_long_before_it_is_cut(folder: Path) -> None:
    encoder = Siglip.from_source(str(folder), {"resize_mode": "shortest"})
    assert encoder.preprocess(Image.new("RGB", (16_384, 1))).shape == (3, 32, 32)


def test_local_dir_and_file_are_the_folder(folder: Path, pixels: Tensor) -> None:
    expected = features(folder, pixels)
    for source in (f"local-dir:{folder}", folder / SAFE):
        assert torch.equal(features(source, pixels), expected)


@pytest.mark.parametrize("name", [PICKLED, "epoch_3.pt", "weights.pth"])
def test_pickled_weights_are_read(copy: Path, pixels: Tensor, name: str) -> None:
    expected = features(copy, pixels)
    torch.save(load_file(copy / SAFE), copy / name)
    (copy / SAFE).unlink()
    assert torch.equal(features(copy / name, pixels), expected)


def test_checkpoint_of_open_clips_training_on_several_gpus_is_read(
    copy: Path, pixels: Tensor
) -> None:
    expected = features(copy, pixels)
    state = {f"module.{name}": value for name, value in load_file(copy / SAFE).items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, copy / "epoch_3.pt")
    assert torch.equal(features(copy / "epoch_3.pt", pixels), expected)


def test_safetensors_are_preferred_to_a_pickle_beside_them(copy: Path, pixels: Tensor) -> None:
    expected = features(copy, pixels)
    (copy / PICKLED).write_bytes(b"not even a pickle")
    assert torch.equal(features(copy, pixels), expected)


class Attack:
    """What pickles as a call of `open`."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("name", [PICKLED, "epoch_1.pt"])
def test_pickle_that_would_run_code_is_refused_and_runs_nothing(copy: Path, name: str) -> None:
    weights = {**load_file(copy / SAFE), "logit_scale": Attack(copy / "owned")}
    (copy / SAFE).unlink()
    torch.save(weights, copy / name)
    encoder = Siglip.from_source(str(copy / name), {})
    with pytest.raises(PartError, match="tensors and plain values, which is refused"):
        dict(encoder.load(str(copy / name)))
    assert not (copy / "owned").exists()


def test_layers_above_the_selected_one_are_not_read(copy: Path, pixels: Tensor) -> None:
    expected = features(copy, pixels)
    weights = {k: v for k, v in load_file(copy / SAFE).items() if ".blocks.2." not in k}
    save_file(weights, copy / SAFE)
    assert torch.equal(features(copy, pixels), expected)


def test_folder_with_both_formats_is_taken_as_of_transformers_unless_told(
    copy: Path, tmp_path: Path
) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "siglip", "vision_config": {}}))
    assert Siglip.from_source(str(copy), {}).width == 768
    assert Siglip.from_source(f"local-dir:{copy}", {}).width == 32


def test_composing_from_the_command_line_saves_and_loads_the_same_twice(
    folder: Path, parts: dict[str, Path], tmp_path: Path, pixels: Tensor
) -> None:
    source = f"local-dir:{folder}"  # only the first colon ends the encoder's name
    given = ["--backbone", f"auto:{parts['llama']}", "--encoder", f"image=siglip:{source}"]
    assert run(["compose", str(tmp_path / "first"), *given]) == 0
    first = mmmodal.load(tmp_path / "first")
    stored = first.config.image_config
    assert (stored.num_hidden_layers, stored.hidden_act, stored.layer_norm_eps) == (2, "gelu", 1e-6)
    assert stored.options.keys().isdisjoint({"tiles", "resize_mode", "fill_color"})
    assert not any("layers.2" in name for name in first.model.image_tower.state_dict())
    save(first, tmp_path / "second")
    second = mmmodal.load(tmp_path / "second")
    configs = [json.loads((tmp_path / n / "config.json").read_text()) for n in ("first", "second")]
    for config in configs:
        config["image_config"].pop("dtype")  # which transformers sets when it loads a model
    assert configs[0] == configs[1]
    with torch.no_grad():
        for model in (first, second):
            found = torch.stack(model.model.image_tower(pixels)).flatten(1, 3)
            assert_same(found, features(source, pixels))
