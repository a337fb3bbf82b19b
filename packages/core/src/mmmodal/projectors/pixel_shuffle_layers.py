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
    """Folding, then Linear, GELU and Linear, each in one call for the whole batch."""

    def __init__(self, in_width: int, out_width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.linear_1 = nn.Linear(in_width * factor**2, out_width)
        self.linear_2 = nn.Linear(out_width, out_width)

    def forward(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        """Return [N, m_max, D_lm] for [N, n_max, D_enc], with zeros after each item."""
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
    """Return patches [..., tiles * h * w, D] folded to [..., tiles * h/f * w/f, f * f * D].

    Tokens keep the order of tiles, rows and columns; the patches in a token are in the order of
    rows and columns.
    """
    tiles, h, w = shape
    blocks = (tiles, h // factor, factor, w // factor, factor)
    x = features.unflatten(-2, blocks)  # [..., tiles, h/f, f, w/f, f, D]
    x = x.transpose(-4, -3)  # [..., tiles, h/f, w/f, f, f, D]
    folded: Tensor = x.flatten(-3).flatten(-4, -2)
    return folded
