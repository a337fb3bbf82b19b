"""The size of projected vectors, relative to word embeddings: an option of core's projectors.

Without it a projector's vectors grow: on the playground they become 20 to 40 times as long as word
embeddings. The values that the language model's layers add at these positions, such as the number
of an image among several, are then too small, and a model trained on one medium fails with several.
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
    """The size of the projected vectors."""

    scale: Scale = None
    """Their root mean square, set by a norm with a learned gain after the last layer; "words" is
    that of the language model's word embeddings. None adds no norm, as in the paper."""


def scaled(layers: nn.Module, width: int, scale: Scale) -> nn.Module:
    """Return the layers of a projector, followed by a norm if its options have a `scale`.

    Raises:
        PartError: `scale` is "words", which composing replaces by the measured number.
    """
    if scale is None:
        return layers
    if scale == "words":
        raise PartError("scale 'words' is measured only when a model is composed; give a number")
    from mmmodal.projectors.scaling_layers import Scaled

    return Scaled(layers, width, scale)
