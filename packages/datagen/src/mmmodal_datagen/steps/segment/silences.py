"""Silences in a stretch of sound, and the best place to cut it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmmodal_datagen.contracts import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FRAME", "Cut", "Rule", "frames", "levels", "loud", "silent", "where_to_cut"]

FRAME = RATE // 50
"""The samples of a frame, which has one level: 20 ms."""

LOUD = 95  # percentile of the levels that represents speech; the maximum may be a clap
INAUDIBLE = -60.0  # dB of full scale; anything below is silent
NOTHING = 1e-12  # power of digital silence


class Rule(NamedTuple):
    """The rule for silences; lengths are in frames."""

    drop: float
    """The difference of silence to the loud parts around it, in dB."""

    silence: int
    """The shortest silence that may be cut."""

    pause: int
    """The shortest silence that always ends a clip."""

    padding: int
    """The silence that a clip keeps on either side."""


class Cut(NamedTuple):
    """The end of a clip, in frames, and whether it is in sound."""

    end: int
    in_sound: bool


def frames(seconds: float) -> int:
    """Return a length in frames."""
    return round(seconds * RATE / FRAME)


def levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the level of each frame in dB of full scale, [frames]; the last may be partial."""
    missing = -len(samples) % FRAME
    parts = np.pad(samples, (0, missing)).reshape(-1, FRAME)  # [frames, FRAME]
    power = np.square(parts, dtype=np.float64).mean(axis=1)
    decibels: NDArray[np.float64] = 10 * np.log10(power + NOTHING)
    return decibels


def loud(loudness: NDArray[np.float64]) -> float:
    """Return the level of the loud parts, in dB of full scale."""
    return float(np.percentile(loudness, LOUD))


def silent(loudness: NDArray[np.float64], level: float, drop: float) -> NDArray[np.bool_]:
    """Return, for each frame, whether it is silent next to sound of this level."""
    return loudness < max(INAUDIBLE, level - drop)


def where_to_cut(
    loudness: NDArray[np.float64], quiet: NDArray[np.bool_], rule: Rule, *, whole: bool
) -> Cut:
    """Return the end of a clip that starts with these frames.

    In order: the first long pause; the end of the frames, if they are the `whole` rest; in the
    second half, the last silence of at least half the length of the longest; the last silence
    before; the quietest moment of the second half.
    """
    length = len(quiet)
    runs = [(start, stop) for start, stop in _runs(quiet) if start]
    for start, stop in runs:
        if stop - start >= rule.pause:
            return Cut(_within(start, stop, rule), False)
    if whole:
        start, stop = runs[-1] if runs else (length, length)
        return Cut(min(start + rule.padding, length) if stop == length else length, False)
    long = [run for run in runs if run[1] - run[0] >= rule.silence]
    late = [run for run in long if run[0] >= length // 2]
    if late:
        longest = max(stop - start for start, stop in late)
        start, stop = [run for run in late if 2 * (run[1] - run[0]) >= longest][-1]
    elif long:
        start, stop = long[-1]
    else:
        return Cut(_quietest(loudness, rule.silence), True)
    return Cut(_within(start, stop, rule), False)


def _runs(quiet: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and end of each silence."""
    edges = np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _within(start: int, stop: int, rule: Rule) -> int:
    """Return the frame of a silence at which the clip before it ends."""
    return min(start + rule.padding, (start + stop + 1) // 2)


def _quietest(loudness: NDArray[np.float64], width: int) -> int:
    """Return the middle of the quietest stretch of the second half."""
    half = loudness[len(loudness) // 2 :]
    width = max(1, min(width, len(half)))
    means = np.convolve(half, np.full(width, 1 / width), mode="valid")
    return len(loudness) // 2 + int(means.argmin()) + (width + 1) // 2
