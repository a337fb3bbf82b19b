"""The network: transformers' SigLIP without text, pooling head and unused layers.

N images, n tiles of all of them, h × w patches of a tile, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from mmmodal.authoring import pretrained

__all__ = ["SiglipTower", "tensor_shapes"]


class SiglipTower(SiglipVisionModel):  # type: ignore[no-untyped-call, unused-ignore]
    """A tower whose features are the output of its last layer, normalised or not."""

    def __init__(
        self, config: SiglipVisionConfig, post_norm: bool = False, drop_first: bool = False
    ) -> None:
        super().__init__(config)
        self.drop_first = drop_first
        if not post_norm:
            self.add_module("post_layernorm", nn.Identity())

    def forward(self, values: Tensor, counts: Tensor | None = None, **kwargs: Any) -> list[Tensor]:
        """Return the features of pixels [n, 3, H, W], in one batch, as N of [tiles, h, w, D].

        `counts` [N] is the number of tiles of each image; by default one. Without the first patch,
        the features of an image are [h * w - 1, D].
        """
        kwargs["return_dict"] = True
        hidden = super().forward(values, **kwargs).last_hidden_state  # [n, h * w, D]
        if self.drop_first:
            return list(hidden[:, 1:])
        patch: Any = self.embeddings.patch_size
        h, w = (size // patch for size in values.shape[-2:])
        tiles = hidden.unflatten(1, (h, w))  # [n, h, w, D]
        return list(tiles.split(1 if counts is None else counts.tolist()))


def tensor_shapes(config: SiglipVisionConfig, post_norm: bool) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a tower's tensors by name, without allocating memory."""
    return pretrained.tensor_shapes(lambda: SiglipTower(config, post_norm))
