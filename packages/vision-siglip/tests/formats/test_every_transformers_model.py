"""Every published SigLIP of fixed resolution against transformers' own, with random weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel
from transformers.initialization import no_init_weights

from mmmodal_vision_siglip import Siglip
from mmmodal_vision_siglip.presets import PRESETS

# What its config.json says of each size: width, layers, heads, width inside of a layer.
SIZES = {
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "so400m": (1152, 27, 16, 4304),
    "giant": (1536, 40, 16, 6144),
}
FEW = 3  # layers, of which the last is not run: more of them show nothing new


def assert_transformers_features(preset: type[Siglip], folder: Path, depth: int | None) -> None:
    """Compare layer -2, and the last one normalised, of a model cut to `depth` layers."""
    assert preset.source is not None
    size, patch, side = re.findall(r"siglip2?-([a-z0-9]+)-.*patch(\d+)-(\d+)", preset.source)[0]
    width, layers, heads, inside = SIZES[size]
    config = SiglipVisionConfig(
        hidden_size=width,
        num_hidden_layers=depth or layers,
        num_attention_heads=heads,
        intermediate_size=inside,
        patch_size=int(patch),
        image_size=int(side),
        vision_use_head=False,
    )
    torch.manual_seed(0)
    theirs = SiglipVisionModel(config).eval()
    theirs.save_pretrained(folder)
    pixels = torch.randn(1, 3, int(side), int(side))
    with torch.no_grad():
        expected = theirs(pixel_values=pixels, output_hidden_states=True)
        found = [
            features(preset, folder, pixels, select_layer=-2),
            features(preset, folder, pixels, select_layer=-1, post_norm=True),
        ]
    assert preset.card is not None
    assert found[0].shape == (1, preset.card.positions, preset.card.width)
    for ours, state in zip(
        found, (expected.hidden_states[-2], expected.last_hidden_state), strict=True
    ):
        torch.testing.assert_close(ours, state, rtol=1e-5, atol=1e-5)


def features(preset: type[Siglip], folder: Path, pixels: Any, **options: Any) -> torch.Tensor:
    """Encode pixels [N, 3, H, W] as [N, h * w, D] with our tower."""
    encoder = preset.from_source(str(folder), options)
    with no_init_weights():
        tower = encoder.build().eval()
    tower.load_state_dict(dict(encoder.load(str(folder))))
    return torch.stack(tower(pixels)).flatten(1, 3)


def test_base_model_has_the_features_of_transformers(tmp_path: Path) -> None:
    preset = next(preset for preset in PRESETS if preset.name == "siglip-base-224")
    assert_transformers_features(preset, tmp_path, None)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_model_has_the_features_of_transformers(preset: type[Siglip], tmp_path: Path) -> None:
    assert_transformers_features(preset, tmp_path, FEW)
