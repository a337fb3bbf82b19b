"""How large projected vectors are beside word embeddings: an option of every projector of core.

Left to itself a projector grows: on the playground its vectors end 20 to 40 times as long as word
embeddings. What the language model's layers add at those places, such as which of several images
they are of, is then too small to be seen, and what is learned of one medium fails with several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmmodal.config import Config
from mmmodal.errors import PartError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Scale", "ScaledOptions", "scaled"]

Scale = Annotated[float, Field(gt=0)] | Literal["words"] | None


class ScaledOptions(Config):
    """How large the vectors are that come out."""

    scale: Scale = None
    """Their root mean square, kept by a norm behind the last layer, with a learned gain; "words" is
    that of the language model's word embeddings. None leaves them as they are, as in the paper."""


def scaled(layers: nn.Module, width: int, scale: Scale) -> nn.Module:
    """Put a norm behind the layers of a projector where its options have a `scale`.

    Raises:
        PartError: `scale` is "words", which composing replaces by the number it measures.
    """
    if scale is None:
        return layers
    if scale == "words":
        raise PartError("scale 'words' is known when a model is composed; give a number")
    from mmmodal.projectors.scaling_layers import Scaled

    return Scaled(layers, width, scale)
