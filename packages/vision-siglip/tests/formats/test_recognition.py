"""Sources that are no SigLIP, or of which it is not clear which: one error says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_open_clip as tiny
from mmmodal.errors import ConfigError, PartError
from mmmodal.making.composing import Part
from mmmodal.pretrained import read_pickled
from mmmodal_vision_siglip import Siglip
from mmmodal_vision_siglip.formats.open_clip_names import model_names
from mmmodal_vision_siglip.formats.timm_trunk import read_architecture, trunk_name
from mmmodal_vision_siglip.tower import tensor_shapes

SAFE = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write(tmp_path, tiny.model_config())
    return tmp_path


def refusal(source: str | Path, **options: Any) -> str:
    with pytest.raises(PartError) as caught:
        dict(Siglip.from_source(str(source), options).load(str(source)))
    return str(caught.value)


def write_config(folder: Path, **vision: Any) -> None:
    config = tiny.model_config()
    config["vision_cfg"] |= vision
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))


def empty_file(path: Path, name: str) -> Path:
    """Write weights of the shapes of a model of any size, in a file of some kilobytes."""
    config = read_architecture(open_clip.get_model_config(name)["vision_cfg"], name)
    weights = {}
    for ours, shape in tensor_shapes(config, post_norm=True).items():
        stored, third = trunk_name(ours)
        whole = (1, *shape) if stored == "pos_embed" else shape
        rows = whole if third is None else (3 * shape[0], *shape[1:])
        weights[f"visual.trunk.{stored}"] = torch.zeros(1).expand(rows)
    torch.save(weights, path)
    return path


def test_all_of_a_source_after_the_first_colon_is_the_source() -> None:
    assert Part.parse("siglip:ViT-B-16-SigLIP-384:webli").source == "ViT-B-16-SigLIP-384:webli"
    assert Part.parse("siglip:hf-hub:timm/x").source == "hf-hub:timm/x"


@pytest.mark.parametrize("source", ["./gone", "/gone/model.safetensors", "local-dir:gone", "a/b/c"])
def test_folder_or_file_that_is_not_there_is_named(source: str) -> None:
    assert "no such folder" in refusal(source)


def test_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    told = refusal(tmp_path)
    assert "no config.json" in told and CONFIG in told
    assert refusal(f"local-dir:{tmp_path}").endswith(f"it has no {CONFIG}")


def test_folder_of_timm_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "vit_base_patch16_siglip_384"}')
    assert "no model_type in its config.json and no open_clip_config.json" in refusal(tmp_path)


def test_word_that_is_nothing_brings_the_nearest_name_of_open_clip() -> None:
    told = refusal("vit-b16-siglip-384")
    assert "neither a Hub id (OWNER/NAME) nor a model of open_clip" in told
    assert "Did you mean 'ViT-B-16-SigLIP-384'?" in told


def test_wrong_tag_brings_the_right_one() -> None:
    told = refusal("ViT-B-16-SigLIP-384:web")
    assert "'web' is neither a file nor a tag" in told and "'webli'" in told


def test_model_with_several_tags_asks_which() -> None:
    told = refusal("nllb-clip-base-siglip")
    assert "nllb-clip-base-siglip:v1, nllb-clip-base-siglip:mrl" in told


def test_model_of_open_clip_that_is_not_siglip_is_refused() -> None:
    assert "is a model of open_clip, but not SigLIP" in refusal("ViT-B-32:openai")


@pytest.mark.parametrize(
    "trunk", ["vit_base_patch16_224", "resnet18", "vit_huge_typo", "eva02_base_patch14_224"]
)
def test_trunk_that_is_not_siglips_is_refused(tmp_path: Path, trunk: str) -> None:
    write_config(tmp_path, timm_model_name=trunk, image_size=224)
    (tmp_path / SAFE).touch()
    assert f"the trunk {trunk!r} is not SigLIP's" in refusal(tmp_path)


def test_picture_size_that_the_trunk_does_not_take_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path, image_size=64)
    (tmp_path / SAFE).touch()
    assert "pictures of 64 pixels to 'vit_tiny_patch8_siglip_32', which takes 32" in refusal(
        tmp_path
    )


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_cfg": {"vision_cfg": 1}}'])
def test_damaged_config_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    assert CONFIG in refusal(folder)


def test_preprocessing_that_is_unknown_is_refused(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["preprocess_cfg"]["resize_mode"] = "stretch"
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="resize_mode"):
        Siglip.from_source(str(folder), {})


def test_config_without_weights_is_refused(folder: Path) -> None:
    (folder / SAFE).rename(folder / "epoch_1.pt")
    assert "name the file itself" in refusal(folder)


def test_missing_tensor_and_other_shape_are_named(folder: Path) -> None:
    weights = load_file(folder / SAFE)
    whole = weights.pop("visual.trunk.blocks.1.attn.qkv.weight")
    save_file(weights, folder / SAFE)
    assert "'visual.trunk.blocks.1.attn.qkv.weight' is missing" in refusal(folder)
    save_file({**weights, "visual.trunk.blocks.1.attn.qkv.weight": whole[1:]}, folder / SAFE)
    assert "has shape [95, 32]" in refusal(folder)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # by chance
@pytest.mark.parametrize("name", [SAFE, "open_clip_pytorch_model.bin"])
def test_damaged_weights_are_refused(folder: Path, name: str) -> None:
    data = (folder / SAFE).read_bytes()
    (folder / SAFE).unlink()
    (folder / name).write_bytes(data[: len(data) // 2])
    assert "is damaged" in refusal(folder)


def test_file_of_no_known_kind_is_refused(folder: Path) -> None:
    (folder / "weights.npz").touch()
    assert ".safetensors, .bin, .pt, .pth" in refusal(folder / "weights.npz")


@pytest.mark.parametrize("values", [[torch.zeros(1)], {1: torch.zeros(1)}, {"a": 1}])
def test_file_that_holds_no_weights_by_name_is_refused(folder: Path, values: Any) -> None:
    torch.save(values, folder / "weights.pt")
    told = refusal(folder / "weights.pt")
    assert "is not a mapping of names to tensors" in told or "is missing" in told


def test_file_alone_with_shapes_of_no_model_asks_for_its_name(folder: Path) -> None:
    (folder / CONFIG).unlink()
    told = refusal(folder / SAFE)
    assert f"no {CONFIG} beside it" in told and f"NAME:{folder / SAFE}" in told


def test_file_alone_that_fits_models_of_two_sizes_asks_which(tmp_path: Path) -> None:
    file = empty_file(tmp_path / "weights.pt", "ViT-SO400M-14-SigLIP-384")
    told = refusal(file)
    assert "ViT-SO400M-14-SigLIP-378" in told and "ViT-SO400M-14-SigLIP-384" in told
    encoder = Siglip.from_source(f"ViT-SO400M-14-SigLIP-378:{file}", {})
    assert encoder.options.image_size == 378 and encoder.options.patch_size == 14


def test_file_alone_of_a_cut_model_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    file = empty_file(tmp_path / "weights.pt", "ViT-B-16-SigLIP-384")
    assert Siglip.from_source(str(file), {}).options.image_size == 384
    weights = {k: v.clone() for k, v in read_pickled(file).items()}  # not mapped to the file
    torch.save({k: v for k, v in weights.items() if "blocks.11." not in k}, file)
    assert "no SigLIP of open_clip has tensors of these names and shapes" in refusal(file)


def test_open_clip_has_the_26_models_of_the_family_and_18_with_the_exact_gelu() -> None:
    names = [name for name in model_names() if name.startswith("ViT-")]
    kinds = [
        read_architecture(open_clip.get_model_config(name)["vision_cfg"], name).hidden_act
        for name in names
    ]
    assert len(names) >= 26
    assert kinds.count("gelu") >= 18 and kinds.count("gelu_pytorch_tanh") >= 8
