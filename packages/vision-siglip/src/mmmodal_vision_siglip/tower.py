"""The network: transformers' SigLIP without text, pooling head and unused layers.

N images, n patches, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel

__all__ = ["SiglipTower"]


class SiglipTower(SiglipVisionModel):
    """Run all layers of the config; what they return, normalised or not, are the features."""

    def __init__(self, config: SiglipVisionConfig, post_norm: bool = False) -> None:
        super().__init__(config)
        if not post_norm:
            self.post_layernorm = nn.Identity()

    def forward(self, values: Tensor, **kwargs: Any) -> list[Tensor]:
        """Encode pixels [N, 3, H, W] as N of [n, D]."""
        kwargs["return_dict"] = True
        hidden = super().forward(values, **kwargs).last_hidden_state  # [N, n, D]
        return list(hidden.unbind())
