"""A linear layer: the smallest projector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from mmmodal.config import Config
from mmmodal.contracts import Projector
from mmmodal.projectors.scaling import ScaledOptions, scaled

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Linear"]


class Linear(Projector):
    """A linear layer at each position."""

    name: ClassVar[str] = "linear"
    pointwise: ClassVar[bool] = True
    Options: ClassVar[type[Config]] = ScaledOptions
    options: ScaledOptions

    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of positions."""
        return math.prod(shape)

    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the layer."""
        from torch import nn

        return scaled(nn.Linear(in_width, out_width), out_width, self.options.scale)
