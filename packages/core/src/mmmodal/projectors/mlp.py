"""Two linear layers with a GELU between them, as in LLaVA 1.5 and the paper for images (§5.1)."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from mmmodal.config import Config
from mmmodal.contracts import Projector
from mmmodal.projectors.scaling import ScaledOptions, scaled

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MLP"]


class MLP(Projector):
    """Two layers at each position; the hidden width is the language model's."""

    name: ClassVar[str] = "mlp"
    pointwise: ClassVar[bool] = True
    Options: ClassVar[type[Config]] = ScaledOptions
    options: ScaledOptions

    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of positions."""
        return math.prod(shape)

    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the layers, with the names of LLaVA."""
        from torch import nn

        layers = OrderedDict[str, nn.Module](
            linear_1=nn.Linear(in_width, out_width),
            act=nn.GELU(),
            linear_2=nn.Linear(out_width, out_width),
        )
        return scaled(nn.Sequential(layers), out_width, self.options.scale)
