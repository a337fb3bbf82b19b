"""The network: transformers' SigLIP without text, pooling head and unused layers.

N images, h × w patches of an image, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel

__all__ = ["SiglipTower"]


class SiglipTower(SiglipVisionModel):  # type: ignore[no-untyped-call, unused-ignore]
    """Run all layers of the config; what they return, normalised or not, are the features."""

    def __init__(self, config: SiglipVisionConfig, post_norm: bool = False) -> None:
        super().__init__(config)
        if not post_norm:
            self.add_module("post_layernorm", nn.Identity())

    def forward(self, values: Tensor, **kwargs: Any) -> list[Tensor]:
        """Encode pixels [N, 3, H, W] as N of [1, h, w, D]: one tile of patches each."""
        kwargs["return_dict"] = True
        hidden = super().forward(values, **kwargs).last_hidden_state  # [N, h * w, D]
        patch: Any = self.embeddings.patch_size
        h, w = (size // patch for size in values.shape[-2:])
        return list(hidden.unflatten(1, (1, h, w)).unbind())
