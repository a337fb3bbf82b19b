"""Every SigLIP of open_clip against open_clip's own tower, of the true width and resolution."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.timm_model import TimmModel
from safetensors.torch import save_file
from transformers.initialization import no_init_weights

from mmmodal_vision_siglip import Siglip
from mmmodal_vision_siglip.formats.open_clip_names import model_names
from mmmodal_vision_siglip.formats.timm_trunk import read_architecture, trunk_name
from mmmodal_vision_siglip.tower import tensor_shapes

WHOLE = 800  # towers up to this width run with all their layers, larger ones with some of them
FEW = 3


def tower_of(name: str, **settings: object) -> TimmModel:
    config = open_clip.get_model_config(name)
    vision = config["vision_cfg"]
    return TimmModel(
        vision["timm_model_name"],
        embed_dim=config["embed_dim"],
        image_size=vision["image_size"],
        pool=vision["timm_pool"],
        proj=vision["timm_proj"],
        **settings,
    ).eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_names_and_shapes_of_the_whole_depth_agree(name: str) -> None:
    with torch.device("meta"):
        trunk = tower_of(name).trunk
    config = read_architecture(open_clip.get_model_config(name)["vision_cfg"], name)
    wanted: dict[str, list[tuple[int, ...]]] = {}
    for ours, shape in tensor_shapes(config, post_norm=True).items():
        wanted.setdefault(trunk_name(ours)[0], []).append(shape)
    state = {k: v for k, v in trunk.state_dict().items() if not k.startswith("attn_pool.")}
    assert state.keys() == wanted.keys()
    for key, tensor in state.items():
        rows = sum(shape[0] for shape in wanted[key])  # of q, k and v together
        expected = (1, *wanted[key][0]) if key == "pos_embed" else (rows, *wanted[key][0][1:])
        assert tuple(tensor.shape) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_features_are_those_of_open_clip(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        visual = tower_of(name)
    depth = len(visual.trunk.blocks)
    layer = depth - 1 if visual.trunk.embed_dim <= WHOLE else FEW
    visual.trunk.blocks = visual.trunk.blocks[: layer + 1]
    visual.to_empty(device="cpu")
    with torch.no_grad():
        for key, parameter in visual.named_parameters():
            norm = "norm" in key and key.endswith("weight")
            parameter.normal_(1.0 if norm else 0.0, 0.02)
    file = tmp_path / "model.safetensors"
    save_file({f"visual.{key}": value for key, value in visual.state_dict().items()}, file)
    source = f"{name}:{file}"
    side = visual.trunk.patch_embed.img_size[0]
    pixels = torch.randn(1, 3, side, side)
    with torch.no_grad():
        states = visual.trunk.forward_intermediates(
            pixels, output_fmt="NLC", intermediates_only=True
        )
        # hidden_states[-2], as in the paper, where the whole depth is there.
        select = -2 if layer == depth - 1 else layer
        for post_norm in (False, True):
            encoder = Siglip.from_source(source, {"select_layer": select, "post_norm": post_norm})
            with no_init_weights():
                tower = encoder.build().eval()
            tower.load_state_dict(dict(encoder.load(source)))
            expected = states[layer - 1]
            expected = visual.trunk.norm(expected) if post_norm else expected
            found = tower(pixels)[0].flatten(0, 2)[None]
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
