"""openai-whisper's names of the encoder's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["openai_name", "to_openai"]

IN_A_LAYER = {
    "self_attn_layer_norm": "attn_ln",
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",  # without a bias in both libraries
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "final_layer_norm": "mlp_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
}


def to_openai(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a tower's tensors by the names that openai-whisper's `AudioEncoder` loads.

    That class has all layers and the last norm: build the tower with `select_layer=-1` and
    `post_norm=True`.
    """
    return {openai_name(name): tensor for name, tensor in tensors.items()}


def openai_name(name: str) -> str:
    """Return openai-whisper's name of a tensor in transformers' encoder."""
    module, _, kind = name.rpartition(".")
    if layer := re.fullmatch(r"layers\.(\d+)\.(.+)", module):
        number, part = layer.groups()
        return f"blocks.{number}.{IN_A_LAYER[part]}.{kind}"
    if module == "embed_positions":
        return "positional_embedding"
    return f"{'ln_post' if module == 'layer_norm' else module}.{kind}"
