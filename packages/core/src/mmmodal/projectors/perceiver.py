"""A fixed number of tokens: learned queries that attend to all features of an item.

This is the resampler of Flamingo (§3.1, arXiv 2204.14198) with the layers of Idefics2 (§3.2, arXiv
2405.02246): queries attend to the features and to themselves, without positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmmodal.config import Config
from mmmodal.contracts import Projector
from mmmodal.projectors.scaling import ScaledOptions, scaled

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Perceiver", "PerceiverOptions"]


class PerceiverOptions(ScaledOptions):
    """The number of tokens of an item and the size of the network; that of Idefics2 is wider."""

    queries: int = Field(64, ge=1)
    """The number of tokens of an item, independent of its size."""

    layers: int = Field(3, ge=1)
    heads: int = Field(8, ge=1)
    head_width: int = Field(64, ge=1)


class Perceiver(Projector):
    """Output a fixed number of tokens for an item of any shape, with all its tiles or windows.

    Positions must be part of the features, as in those of SigLIP and Whisper. The tile of a patch
    is not part of them, so use `pixel-shuffle` for tiled documents.
    """

    name: ClassVar[str] = "perceiver"
    Options: ClassVar[type[Config]] = PerceiverOptions
    options: PerceiverOptions

    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of queries."""
        return self.options.queries

    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the layers, of the features' width, and a linear layer to the language model's."""
        from mmmodal.projectors.perceiver_layers import PerceiverLayers

        options = self.options
        heads = (options.heads, options.head_width)
        layers = PerceiverLayers(in_width, out_width, options.queries, options.layers, *heads)
        return scaled(layers, out_width, options.scale)
