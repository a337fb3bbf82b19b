"""Fewer tokens for a picture: concatenate neighbouring patches to one token.

The folding is that of InternVL 1.5 (§3.1, arXiv 2404.16821) and Idefics3 (arXiv 2408.12637), with
equal results; two layers as in InternVL and in `mlp` follow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from mmmodal.config import Config
from mmmodal.contracts import Projector
from mmmodal.errors import PartError
from mmmodal.projectors.scaling import ScaledOptions, scaled

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PixelShuffle", "PixelShuffleOptions"]

Factor = Literal[2, 3, 4]


class PixelShuffleOptions(ScaledOptions):
    """The factor of folding: for 24 × 24 patches a factor of 2 outputs 144 tokens, 3 outputs 64."""

    factor: Factor = 2
    """The number of patches on each side of the square that becomes one token."""


class PixelShuffle(Projector):
    """Fold `factor` × `factor` patches of each tile into one token, then two layers."""

    name: ClassVar[str] = "pixel-shuffle"
    tilewise: ClassVar[bool] = True
    Options: ClassVar[type[Config]] = PixelShuffleOptions
    options: PixelShuffleOptions

    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of folded patches of all tiles of a grid (tiles, h, w).

        Raises:
            PartError: `shape` is a sequence, or `factor` does not divide its sides.
        """
        if len(shape) != 3:
            raise PartError(
                f"projector 'pixel-shuffle' accepts grids (tiles, h, w), not sequences such as "
                f"{shape}; use 'conv' or 'perceiver'"
            )
        _, h, w = shape
        factor = self.options.factor
        if h % factor or w % factor:
            raise PartError(
                f"projector 'pixel-shuffle' cannot fold a grid of {h} × {w} by {factor}; "
                f"{_advice(h, w)}"
            )
        return math.prod(shape) // factor**2

    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the layers, with the names of `mlp`."""
        from mmmodal.projectors.pixel_shuffle_layers import PixelShuffleLayers

        layers = PixelShuffleLayers(in_width, out_width, self.options.factor)
        return scaled(layers, out_width, self.options.scale)


def _advice(h: int, w: int) -> str:
    fitting = [str(factor) for factor in get_args(Factor) if h % factor == w % factor == 0]
    if not fitting:
        known = ", ".join(map(str, get_args(Factor)))
        return f"nor does any of the factors {known} fit; use 'mlp' or 'perceiver'"
    return f"set factor to {' or '.join(fitting)}"
