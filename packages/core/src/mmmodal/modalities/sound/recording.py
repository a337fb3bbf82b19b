"""One open recording: its header, and its samples as they are decoded."""

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
    """The limits of a recording."""

    seconds: float = Field(600.0, gt=0)
    """The maximum duration; an encoder's `max_seconds` may raise it."""

    channels: int = Field(8, gt=0)


@dataclass(frozen=True)
class Sound:
    """An open recording; decoded samples are not kept."""

    channels: int
    rate: int  # Hz
    samples: int
    """The minimum number of samples per channel, as far as it is known before decoding."""

    blocks: Iterator[NDArray[np.floating[Any]]]
    """The samples in order, [S, channels]; iterating raises a MediaError if some are missing."""


def counted(lengths: Iterable[float], most: float) -> int:
    """Return the sum of lengths; stop once it exceeds `most`, as a small file can hold hours."""
    total = 0.0
    for length in lengths:
        total += length
        if total > most:
            break
    return math.ceil(total)
