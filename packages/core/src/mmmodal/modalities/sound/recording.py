"""One open recording: what its header says, and its samples as they are decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CONVERT", "Sound", "check_whole", "counted", "cut_off"]

CONVERT = "convert it, for example with `ffmpeg -i in.file out.flac`"


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


def check_whole(promised: int, found: int, slack: int, unit: str, origin: str) -> None:
    """Compare what is there with what the header promises.

    Raises:
        MediaError: more than `slack` is missing, so the file was cut off.
    """
    if promised - found > slack:
        raise cut_off(f"after {found:,} of the {promised:,} {unit} its header promises", origin)


def cut_off(where: str, origin: str) -> MediaError:
    """Return the error of a file that ends too early."""
    reason = f"the file is cut off: it ends {where}; replace it or {CONVERT}"
    return MediaError("unreadable", origin, reason)
