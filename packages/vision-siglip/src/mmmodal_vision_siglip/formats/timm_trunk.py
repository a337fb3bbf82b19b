"""The image towers of open_clip's SigLIP, which are trunks of timm: their configs and tensor names.

open_clip only names a vision transformer of timm, the trunk. Its sizes and activation are therefore
read from the trunk itself, built on the meta device without weights.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import PartError

if TYPE_CHECKING:
    from torch import nn
    from transformers import SiglipVisionConfig

__all__ = ["read_architecture", "trunk_name"]

ACTIVATIONS = ("gelu", "gelu_pytorch_tanh")
"""The exact GELU and its approximation, by transformers' names."""

OUTSIDE = {"embeddings.patch_embedding": "patch_embed.proj", "post_layernorm": "norm"}
"""Modules of our tower around its layers, by the names of timm."""

INSIDE = {
    "layer_norm1": "norm1",
    "self_attn.q_proj": "attn.qkv",
    "self_attn.k_proj": "attn.qkv",
    "self_attn.v_proj": "attn.qkv",
    "self_attn.out_proj": "attn.proj",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Modules of each layer, by the names of timm."""

POOLING = ("attn_pool.", "fc_norm.", "head.")
"""The head of a trunk, which the tower leaves out."""

THIRDS = ("q_proj", "k_proj", "v_proj")
"""The order in which timm stacks the rows of the three projections."""


def trunk_name(name: str) -> tuple[str, int | None]:
    """Return the trunk's name for a tensor of our tower, and its third of the rows if stacked."""
    if name == "embeddings.position_embedding.weight":
        return "pos_embed", None
    owner, _, leaf = name.rpartition(".")
    if owner in OUTSIDE:
        return f"{OUTSIDE[owner]}.{leaf}", None
    layer, _, module = owner.removeprefix("encoder.layers.").partition(".")
    projection = module.rpartition(".")[2]
    third = THIRDS.index(projection) if projection in THIRDS else None
    return f"blocks.{layer}.{INSIDE[module]}.{leaf}", third


def read_architecture(vision: Mapping[str, Any], source: str) -> SiglipVisionConfig:
    """Return the config of the tower of open_clip's `vision_cfg`.

    Raises:
        PartError: it has no trunk of timm, or one that differs from SigLIP.
    """
    name = vision.get("timm_model_name")
    if not isinstance(name, str):
        raise PartError(
            f"{source} is a model of open_clip, but not SigLIP: it has no trunk of timm"
        )
    values = _values(name, str(vision.get("timm_pool", "avg")))
    if isinstance(values, str):
        raise PartError(f"{source}: the trunk {name!r} is not SigLIP's: {values}")
    given, side = vision.get("image_size", 224), values["image_size"]
    if given not in (side, [side, side]):
        raise PartError(
            f"{source}: its config sets pictures of {given} pixels for {name!r}, which needs {side}"
        )
    from transformers import SiglipVisionConfig

    return SiglipVisionConfig(**values, vision_use_head=False)


@functools.cache
def _values(name: str, pool: str) -> dict[str, Any] | str:
    """Return the values of a trunk for a config, or a text why it is not SigLIP."""
    import torch
    from open_clip.timm_model import TimmModel

    try:
        with torch.device("meta"):
            trunk = TimmModel(name, embed_dim=1, pool=pool, proj="none").trunk
    except Exception as error:  # timm raises various errors about names and arguments
        return f"timm cannot build it ({type(error).__name__})"
    return _difference(trunk) or _described(trunk)


def _difference(trunk: Any) -> str | None:
    """Return a difference of a trunk from SigLIP's tower, or None."""
    from timm.models.vision_transformer import Block, VisionTransformer

    if type(trunk) is not VisionTransformer or any(type(b) is not Block for b in trunk.blocks):
        return "it is not a plain vision transformer"
    names = {name for name in trunk.state_dict() if not name.startswith(POOLING)}
    extra = sorted(names ^ _expected_names(len(trunk.blocks)))
    if extra:
        return f"they differ in {extra[0]!r}"
    (height, width), (high, wide) = trunk.patch_embed.img_size, trunk.patch_embed.patch_size
    if height != width or high != wide:
        return "its pictures or patches are not square"
    first: Any = trunk.blocks[0]
    if _activation(first.mlp.act) is None:
        return "its activation is not GELU"
    return None


def _expected_names(depth: int) -> set[str]:
    """Return timm's names of all tensors of a SigLIP of that depth."""
    layers = [f"encoder.layers.{n}.{module}" for n in range(depth) for module in INSIDE]
    names = [f"{owner}.{leaf}" for owner in (*OUTSIDE, *layers) for leaf in ("weight", "bias")]
    return {"pos_embed", *(trunk_name(name)[0] for name in names)}


def _described(trunk: Any) -> dict[str, Any]:
    block = trunk.blocks[0]
    return {
        "hidden_size": trunk.embed_dim,
        "intermediate_size": block.mlp.fc1.out_features,
        "num_hidden_layers": len(trunk.blocks),
        "num_attention_heads": block.attn.num_heads,
        "image_size": trunk.patch_embed.img_size[0],
        "patch_size": trunk.patch_embed.patch_size[0],
        "hidden_act": _activation(block.mlp.act),
        "layer_norm_eps": trunk.norm.eps,
    }


def _activation(module: nn.Module) -> str | None:
    """Return the GELU that a module computes, or None; their values differ by up to 5e-4."""
    import torch
    from transformers.activations import ACT2FN

    points = torch.linspace(-4, 4, 65)
    for name in ACTIVATIONS:
        if torch.allclose(module(points), ACT2FN[name](points), rtol=0, atol=1e-5):
            return name
    return None
