"""One open recording: what its header says, and its samples as they are decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mmmodal.media.limits import Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AudioLimits", "Sound", "counted"]


class AudioLimits(Limits):
    """How long a recording may be, and of how many channels."""

    seconds: float = Field(600.0, gt=0)
    """How long it lasts; an encoder's `max_seconds` may allow more."""

    channels: int = Field(8, gt=0)


@dataclass(frozen=True)
class Sound:
    """A recording of which nothing was decoded yet, or nothing kept."""

    channels: int
    rate: int  # Hz
    samples: int
    """How many samples per channel it holds at least, as far as that is known before decoding."""

    blocks: Iterator[NDArray[np.floating[Any]]]
    """The samples in order, [S, channels]; raises a MediaError if some are missing."""


def counted(lengths: Iterable[float], most: float) -> int:
    """Add up lengths until they exceed `most`: a small file can hold hours."""
    total = 0.0
    for length in lengths:
        total += length
        if total > most:
            break
    return math.ceil(total)
