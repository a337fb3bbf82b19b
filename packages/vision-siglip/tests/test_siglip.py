"""SigLIP against transformers' own, on tiny random weights in the true format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import SiglipModel, SiglipVisionModel

from mmmodal.contracts import Encoder
from mmmodal.errors import ConfigError, MediaError, PartError
from mmmodal.testing import EncoderTests
from mmmodal_vision_siglip import Siglip, SiglipOptions, mmmodal_encoders
from worlds import gradient, picture

SIZES = ((32, 32), (57, 20), (3, 90), (640, 480), (1, 1))


def noise(width: int, height: int) -> Image.Image:
    return picture(width, (width, height))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def loaded(encoder: Encoder, source: Path) -> torch.nn.Module:
    tower = encoder.build().eval()
    tower.load_state_dict(dict(encoder.load(str(source))))
    return tower


def features(source: Path, images: list[Image.Image], **options: Any) -> Tensor:
    encoder = Siglip.from_source(str(source), options)
    collated = encoder.collate([encoder.preprocess(image) for image in images])
    with torch.no_grad():
        return torch.stack(loaded(encoder, source)(**collated)).flatten(1, 3)  # [N, h * w, D]


def processed(source: Path, backend: str, image: Image.Image) -> Tensor:
    """Return the pixels of transformers' slow ("pil") or fast ("torchvision") processor."""
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(source, backend=backend)
    return torch.as_tensor(processor(image)["pixel_values"][0])


class TestSiglip(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Encoder:
        return Siglip.from_source(str(folder), {})

    @pytest.fixture
    def items(self) -> list[Image.Image]:
        return [noise(*size) for size in SIZES]

    @pytest.fixture
    def bad_items(self) -> list[Any]:
        return [None, "a.png", np.zeros((5, 5, 3), np.uint8), Image.new("RGB", (0, 5))]


class TestSiglipWithPostNorm(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Encoder:
        return Siglip.from_source(str(folder), {"select_layer": -1, "post_norm": True})


@pytest.mark.parametrize("layer", [-1, -2, -3, 1, 3])
def test_features_are_the_hidden_states_of_transformers(folder: Path, layer: int) -> None:
    images = [gradient(40, 40), gradient(90, 31)]
    model = SiglipVisionModel.from_pretrained(folder).eval()
    encoder = Siglip.from_source(str(folder), {})
    pixels = torch.stack([encoder.preprocess(image) for image in images])
    with torch.no_grad():
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    torch.testing.assert_close(
        features(folder, images, select_layer=layer), states[layer], rtol=1e-5, atol=1e-5
    )


def test_last_layer_with_post_norm_is_the_last_hidden_state(folder: Path) -> None:
    model = SiglipVisionModel.from_pretrained(folder).eval()
    image = gradient(40, 40)
    encoder = Siglip.from_source(str(folder), {})
    with torch.no_grad():
        expected = model(pixel_values=encoder.preprocess(image)[None]).last_hidden_state
    found = features(folder, [image], select_layer=-1, post_norm=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_backend_can_be_chosen(folder: Path, attention: str) -> None:
    encoder = Siglip.from_source(str(folder), {})
    tower = loaded(encoder, folder)
    pixels = encoder.collate([encoder.preprocess(gradient(40, 40))])
    expected = tower(**pixels)[0]
    tower.set_attn_implementation(attention)
    assert tower.config._attn_implementation == attention
    torch.testing.assert_close(tower(**pixels)[0], expected, rtol=1e-4, atol=1e-5)


def test_layers_above_the_selected_one_do_not_exist(folder: Path) -> None:
    tower = Siglip.from_source(str(folder), {}).build()
    names = list(tower.state_dict())
    assert not any(
        "layers.2" in name or "head" in name or "post_layernorm" in name for name in names
    )
    assert any("layers.1" in name for name in names)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", [2, 3])
@pytest.mark.parametrize("draw", [gradient, noise])
@pytest.mark.parametrize("resizer", ["torchvision", "pillow"])
def test_pixels_are_those_of_transformers(
    copy: Path, size: tuple[int, int], resample: int, draw: Any, resizer: str
) -> None:
    change(copy / "preprocessor_config.json", resample=resample)
    options = {} if resizer == "torchvision" else {"resizer": resizer}
    found = Siglip.from_source(str(copy), options).preprocess(draw(*size))
    backend = "pil" if resizer == "pillow" else resizer
    assert (found - processed(copy, backend, draw(*size))).abs().max() <= 1e-5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", [2, 3])
def test_pixels_of_both_resizers_are_within_a_step(
    copy: Path, size: tuple[int, int], resample: int
) -> None:
    change(copy / "preprocessor_config.json", resample=resample)
    found = Siglip.from_source(str(copy), {}).preprocess(gradient(*size))
    # A step of 1/255 is 2/255 after the division by the deviation of 0.5.
    assert (found - processed(copy, "pil", gradient(*size))).abs().max() <= 2 / 255 + 1e-5


def test_settings_of_the_image_processor_are_taken(copy: Path) -> None:
    change(
        copy / "preprocessor_config.json", resample=2, image_mean=[0.1, 0.2, 0.3], do_rescale=False
    )
    options = Siglip.from_source(str(copy), {"image_std": [1, 1, 2]}).options
    assert options.resample == "bilinear"
    assert options.image_mean == (0.1, 0.2, 0.3)
    assert options.image_std == (1, 1, 2)
    assert options.rescale_factor == 1.0


def test_settings_inside_a_processor_config_are_taken(copy: Path) -> None:
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").unlink()
    nested = {"image_processor": {**settings, "resample": 0}}
    (copy / "processor_config.json").write_text(json.dumps(nested))
    assert Siglip.from_source(str(copy), {}).options.resample == "nearest"


def test_shape_is_the_grid_of_patches(folder: Path) -> None:
    encoder = Siglip.from_source(str(folder), {})
    assert encoder.shape(encoder.preprocess(gradient(99, 5))) == (1, 4, 4)
    assert encoder.width == 32


def test_patches_that_do_not_fill_the_picture_are_counted_as_siglip_does() -> None:
    encoder = Siglip(SiglipOptions(image_size=384, patch_size=14))
    assert encoder.shape(encoder.preprocess(encoder.example())) == (1, 27, 27)


def test_checkpoint_of_the_vision_tower_alone_is_read(folder: Path, tmp_path: Path) -> None:
    SiglipVisionModel.from_pretrained(folder).save_pretrained(tmp_path)
    images = [gradient(40, 40)]
    assert torch.equal(features(tmp_path, images), features(folder, images))


def test_flat_names_of_the_tower_are_read(copy: Path) -> None:
    expected = features(copy, [gradient(40, 40)])
    weights = load_file(copy / "model.safetensors")
    flat = {name.removeprefix("vision_model."): value for name, value in weights.items()}
    save_file(flat, copy / "model.safetensors")
    assert torch.equal(features(copy, [gradient(40, 40)]), expected)


def test_sharded_checkpoint_is_read(folder: Path, tmp_path: Path) -> None:
    SiglipModel.from_pretrained(folder).save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    images = [gradient(40, 40)]
    assert torch.equal(features(tmp_path, images), features(folder, images))


def test_checkpoint_in_the_hub_cache_is_read_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--someone--siglip"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    encoder = Siglip.from_source("someone/siglip", {})
    loaded(encoder, Path("someone/siglip"))
    with pytest.raises(PartError, match="someone/other"):
        Siglip.from_source("someone/other", {})


def test_options_and_config_are_stable_over_reloads(folder: Path) -> None:
    first = Siglip.from_source(str(folder), {"select_layer": -3})
    second = Siglip(SiglipOptions(**first.options.model_dump()), first.tower_config)
    assert second.options.select_layer == -3
    assert len(second.build().encoder.layers) == 1


def test_published_models_have_names_and_sources() -> None:
    sources = {encoder.name: encoder.source for encoder in mmmodal_encoders()}
    assert sources["siglip"] is None
    assert sources["siglip-base-384"] == "google/siglip-base-patch16-384"
    assert {"siglip-large-384", "siglip-so400m-384"} <= set(sources)


def test_preset_takes_another_source_and_goes_to_workers(folder: Path) -> None:
    import pickle

    preset = mmmodal_encoders()[1].from_source(str(folder), {})
    assert type(pickle.loads(pickle.dumps(preset))) is type(preset)


def test_missing_source_is_asked_for() -> None:
    with pytest.raises(PartError, match="'siglip' needs a source"):
        Siglip.from_source(None, {})
    with pytest.raises(PartError, match="without a source"):
        Siglip().build()


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"gone: no such folder"):
        Siglip.from_source(str(tmp_path / "gone"), {})


def test_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"no config\.json"):
        Siglip.from_source(str(tmp_path), {})


def test_config_of_another_model_is_refused(copy: Path) -> None:
    change(copy / "config.json", model_type="siglip2")
    with pytest.raises(PartError, match="'siglip2' model, not SigLIP of fixed resolution"):
        Siglip.from_source(str(copy), {})


def test_config_with_wrong_types_is_refused(copy: Path) -> None:
    change(copy / "config.json", vision_config={"hidden_size": "wide"})
    with pytest.raises(PartError, match=r"not a valid config of SigLIP: .*hidden_size"):
        Siglip.from_source(str(copy), {})


def test_broken_json_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(PartError, match=r"config\.json is not valid JSON"):
        Siglip.from_source(str(copy), {})


@pytest.mark.parametrize("layer", [0, -4, 4])
def test_layer_beyond_the_depth_is_refused(folder: Path, layer: int) -> None:
    with pytest.raises(PartError, match=f"select_layer {layer} does not fit the 3 layers"):
        Siglip.from_source(str(folder), {"select_layer": layer})


def test_sizes_that_the_weights_fix_cannot_be_set(folder: Path) -> None:
    assert Siglip.from_source(str(folder), {"image_size": 32}).options.image_size == 32
    with pytest.raises(PartError, match="image_size 32, which cannot be set to 64"):
        Siglip.from_source(str(folder), {"image_size": 64})


def test_unknown_option_is_refused_with_a_hint(folder: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'select_layer'"):
        Siglip.from_source(str(folder), {"selekt_layer": -1})


def test_missing_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(PartError, match=r"it has neither model\.safetensors"):
        dict(Siglip.from_source(str(copy), {}).load(str(copy)))


def test_missing_tensor_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["vision_model.encoder.layers.1.mlp.fc1.bias"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(
        PartError, match=r"'vision_model\.encoder\.layers\.1\.mlp\.fc1\.bias' is missing"
    ):
        dict(Siglip.from_source(str(copy), {}).load(str(copy)))


def test_tensor_of_another_shape_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["vision_model.encoder.layers.1.mlp.fc1.bias"] = torch.zeros(3)
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(PartError, match=r"fc1\.bias' has shape \[3\]"):
        dict(Siglip.from_source(str(copy), {}).load(str(copy)))


def test_damaged_weights_are_refused(copy: Path) -> None:
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(PartError, match="damaged"):
        dict(Siglip.from_source(str(copy), {}).load(str(copy)))


def test_missing_shard_is_named(folder: Path, tmp_path: Path) -> None:
    SiglipModel.from_pretrained(folder).save_pretrained(tmp_path, max_shard_size="50KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    shard = index["vision_model.embeddings.patch_embedding.weight"]
    (tmp_path / shard).unlink()
    with pytest.raises(PartError, match=f"{shard}, which .* is missing"):
        dict(Siglip.from_source(str(tmp_path), {}).load(str(tmp_path)))


def test_index_that_leads_out_of_the_folder_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    index = {"weight_map": {"vision_model.x": "../secret.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PartError, match="files beside it"):
        dict(Siglip.from_source(str(copy), {}).load(str(copy)))


def test_empty_picture_is_refused(folder: Path) -> None:
    with pytest.raises(MediaError, match="0 x 5"):
        Siglip.from_source(str(folder), {}).preprocess(Image.new("RGB", (0, 5)))


def test_folder_has_nothing_to_download(folder: Path) -> None:
    assert not Siglip.from_source(str(folder), {}).download_size(str(folder))
