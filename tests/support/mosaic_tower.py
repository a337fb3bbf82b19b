"""The network of the mosaic: one convolution over all tiles of all pictures."""

from __future__ import annotations

from torch import Tensor, nn


class Tower(nn.Module):
    """Return N features of [tiles, h, w, D] for tiles [T, 3, H, W] of `counts` [N] per picture."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)

    def forward(self, values: Tensor, counts: Tensor) -> list[Tensor]:
        features = self.patches(values).movedim(1, -1)  # [T, h, w, D]
        return list(features.split(counts.tolist()))
