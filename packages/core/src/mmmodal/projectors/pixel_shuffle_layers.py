"""The network of the `pixel-shuffle` projector.

N items, n positions, m tokens, h × w patches of a tile, f the factor, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PixelShuffleLayers", "fold"]


class PixelShuffleLayers(nn.Module):
    """Folding, Linear, GELU, Linear, in one call each whatever the batch holds."""

    def __init__(self, in_width: int, out_width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.linear_1 = nn.Linear(in_width * factor**2, out_width)
        self.linear_2 = nn.Linear(out_width, out_width)

    def forward(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        """Project [N, n_max, D_enc] to [N, m_max, D_lm], zeros behind each item."""
        if len(set(shapes)) == 1:
            return self._layers(fold(features, shapes[0], self.factor))
        folded = [
            fold(item[: math.prod(shape)], shape, self.factor)  # [m, f * f * D_enc]
            for item, shape in zip(features, shapes, strict=True)
        ]
        projected = self._layers(torch.cat(folded))
        items = projected.split([len(item) for item in folded])
        return nn.utils.rnn.pad_sequence(list(items), batch_first=True)

    def _layers(self, x: Tensor) -> Tensor:
        projected: Tensor = self.linear_2(nn.functional.gelu(self.linear_1(x)))
        return projected


def fold(features: Tensor, shape: tuple[int, ...], factor: int) -> Tensor:
    """Turn patches [..., tiles * h * w, D] into [..., tiles * h/f * w/f, f * f * D].

    Tokens stay in the order of tiles, rows and columns; within one the patches are in the order of
    rows and columns, too.
    """
    tiles, h, w = shape
    blocks = (tiles, h // factor, factor, w // factor, factor)
    x = features.unflatten(-2, blocks)  # [..., tiles, h/f, f, w/f, f, D]
    x = x.transpose(-4, -3)  # [..., tiles, h/f, w/f, f, f, D]
    folded: Tensor = x.flatten(-3).flatten(-4, -2)
    return folded
