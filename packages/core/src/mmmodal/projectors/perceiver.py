"""As many tokens as one likes: learned queries that look at all of an item's features.

The resampler of Flamingo (§3.1, arXiv 2204.14198) with the layers of Idefics2 (§3.2, arXiv
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
    """How many tokens an item becomes and how large the network is; Idefics2's is wider."""

    queries: int = Field(64, ge=1)
    """Tokens of an item, whatever its size."""

    layers: int = Field(3, ge=1)
    heads: int = Field(8, ge=1)
    head_width: int = Field(64, ge=1)


class Perceiver(Projector):
    """A fixed number of tokens for an item of any shape, all its tiles or windows together.

    What is where must be in the features themselves, as it is behind SigLIP and Whisper; which of
    several tiles a patch is from is not, so tiled documents are for `pixel-shuffle`.
    """

    name: ClassVar[str] = "perceiver"
    Options: ClassVar[type[Config]] = PerceiverOptions
    options: PerceiverOptions

    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of queries."""
        return self.options.queries

    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the layers, of the features' width, and the linear one to the language model's."""
        from mmmodal.projectors.perceiver_layers import PerceiverLayers

        options = self.options
        heads = (options.heads, options.head_width)
        layers = PerceiverLayers(in_width, out_width, options.queries, options.layers, *heads)
        return scaled(layers, out_width, options.scale)
