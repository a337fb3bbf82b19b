"""A strided convolution over time and a linear layer, as in the paper for audio (§5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmmodal.config import Config
from mmmodal.contracts import Projector
from mmmodal.errors import PartError
from mmmodal.projectors.scaling import ScaledOptions, scaled
from mmmodal.projectors.windows import windows

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Conv", "ConvOptions"]


class ConvOptions(ScaledOptions):
    """The kernel and stride of the convolution; the paper's makes 487 tokens of 1500 positions."""

    kernel: int = Field(40, ge=1)  # positions
    stride: int = Field(3, ge=1)  # positions


class Conv(Projector):
    """Output fewer tokens than positions; inputs shorter than the kernel are padded with zeros."""

    name: ClassVar[str] = "conv"
    Options: ClassVar[type[Config]] = ConvOptions
    options: ConvOptions

    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of outputs of the convolution for a sequence (n,).

        Raises:
            PartError: `shape` is a grid, the rows of which a convolution over time would mix.
        """
        if len(shape) != 1:
            raise PartError(
                f"projector 'conv' accepts sequences (n,), not grids such as {shape}; "
                "use 'mlp' or 'linear'"
            )
        return windows(shape[0], self.options.kernel, self.options.stride)

    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the layers, with the names of the paper's code."""
        from mmmodal.projectors.conv_layers import ConvLayers

        layers = ConvLayers(in_width, out_width, self.options.kernel, self.options.stride)
        return scaled(layers, out_width, self.options.scale)
