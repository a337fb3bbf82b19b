"""The published models by name, against what transformers and open_clip say of them."""

from __future__ import annotations

import re

import open_clip
import pytest
from transformers import SiglipVisionConfig

from mmmodal.errors import PartError
from mmmodal_vision_siglip import mmmodal_encoders
from mmmodal_vision_siglip.formats.timm_trunk import read_architecture
from mmmodal_vision_siglip.presets import PRESETS
from mmmodal_vision_siglip.tower import tensor_shapes

LETTERS = {"base": "B", "large": "L", "so400m": "SO400M", "giant-opt": "gopt"}


def name_in_open_clip(source: str) -> str:
    """Return open_clip's name of a model of the Hub."""
    pattern = r"google/siglip(2?)-(.+)-patch(\d+)-(\d+)(-i18n|-multilingual)?"
    two, size, patch, side, tail = re.fullmatch(pattern, source).groups()
    start = f"ViT-{LETTERS[size]}-{patch}-SigLIP{two}{'-i18n' if tail else ''}"
    if two and (patch, side) == ("14", "384"):
        side = "378"  # open_clip leaves out the 6 pixels of which no patch is made
    return start if side == "224" else f"{start}-{side}"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_card_says_what_open_clip_and_transformers_make_of_the_model(preset: type) -> None:
    name = name_in_open_clip(preset.source)
    described = read_architecture(open_clip.get_model_config(name)["vision_cfg"], name)
    assert preset.card.width == described.hidden_size
    config = SiglipVisionConfig(
        image_size=int(re.findall(r"-(\d{3})", preset.source)[0]),
        patch_size=int(re.findall(r"patch(\d+)", preset.source)[0]),
        num_hidden_layers=1,
        vision_use_head=False,
    )
    shapes = tensor_shapes(config, post_norm=False)
    assert preset.card.positions == shapes["embeddings.position_embedding.weight"][0]
    assert config.patch_size == described.patch_size
    assert preset.card.positions == (described.image_size // described.patch_size) ** 2
    assert (preset.card.per, preset.card.licence) == ("image", "Apache-2.0")


def test_all_25_published_models_of_fixed_resolution_have_names() -> None:
    encoders = {encoder.name: encoder for encoder in mmmodal_encoders()}
    assert encoders["siglip"].source is None and encoders["siglip"].card is None
    presets = {name: e.source for name, e in encoders.items() if name != "siglip"}
    assert len(set(presets.values())) == len(presets) == 25
    assert presets["siglip-base-384"] == "google/siglip-base-patch16-384"
    assert presets["siglip-so400m-384"] == "google/siglip-so400m-patch14-384"
    assert presets["siglip2-so400m-384"] == "google/siglip2-so400m-patch14-384"
    assert presets["siglip2-giant-256"] == "google/siglip2-giant-opt-patch16-256"


def test_every_name_tells_family_size_and_resolution() -> None:
    for preset in PRESETS:
        family, size, *_ = preset.name.split("-")
        assert preset.source.startswith(f"google/{family}-{size}")
        assert re.findall(r"-(\d{3})\b", preset.name) == re.findall(r"-(\d{3})\b", preset.source)


def test_model_of_the_hub_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PartError, match=r"google/siglip2-base-patch16-256: no such folder"):
        next(p for p in PRESETS if p.name == "siglip2-base-256").from_source(None, {})
