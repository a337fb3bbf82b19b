"""Clips cut from the stream of a recording; at most one is in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmmodal_datagen.contracts import RATE
from mmmodal_datagen.steps.segment.silences import (
    FRAME,
    Rule,
    frames,
    levels,
    loud,
    silent,
    where_to_cut,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Clip", "cut_at_silences", "cut_windows"]


class Clip(NamedTuple):
    """A stretch of a recording."""

    start: int
    """The first sample in the recording."""

    samples: NDArray[np.float32]
    in_sound: bool | None = None
    """Whether it ends in sound, as no silence was found; None: silences were not used."""


class _Ahead:
    """The samples of a recording that were read and not cut yet."""

    def __init__(self, pieces: Iterator[NDArray[np.float32]]) -> None:
        self._pieces = pieces
        self.start = 0
        self.samples: NDArray[np.float32] = np.empty(0, np.float32)
        self.ended = False

    def fill(self, size: int) -> bool:
        """Read up to `size` samples, fewer at the end; return whether there are any."""
        parts = [self.samples]
        while not self.ended and sum(map(len, parts)) < size:
            piece = next(self._pieces, None)
            self.ended = piece is None
            parts += [] if piece is None else [piece]
        if len(parts) > 1:
            self.samples = np.concatenate(parts)
        return len(self.samples) > 0

    def take(self, size: int) -> NDArray[np.float32]:
        """Remove and return the next samples."""
        taken, self.samples = self.samples[:size], self.samples[size:]
        self.start += len(taken)
        return taken


def cut_windows(pieces: Iterator[NDArray[np.float32]], longest_s: float) -> Iterator[Clip]:
    """Yield clips of equal length, and the shorter rest."""
    size = round(longest_s * RATE)
    ahead = _Ahead(pieces)
    while ahead.fill(size):
        yield Clip(ahead.start, ahead.take(size))


def cut_at_silences(
    pieces: Iterator[NDArray[np.float32]], longest_s: float, rule: Rule
) -> Iterator[Clip]:
    """Yield clips that end in silence, without the silence between them.

    Silence is decided from the samples of the longest clip and the level just before, so a clip
    depends neither on the size of the pieces nor on later sound.
    """
    size = frames(longest_s) * FRAME
    ahead = _Ahead(pieces)
    before = -math.inf
    while ahead.fill(size + 1):  # one more sample shows whether the recording continues
        seen = ahead.samples[:size]
        loudness = levels(seen)
        level = loud(loudness)
        # Noise after the last words is silence relative to them.
        quiet = silent(loudness, max(level, before), rule.drop)
        before = level
        first = len(quiet) if quiet.all() else int(quiet.argmin())
        if first == len(quiet) and ahead.ended:
            return
        if first > rule.padding:
            ahead.take((first - rule.padding) * FRAME)
            continue
        cut = where_to_cut(loudness, quiet, rule, whole=ahead.ended)
        start = ahead.start
        yield Clip(start, ahead.take(cut.end * FRAME), cut.in_sound)
