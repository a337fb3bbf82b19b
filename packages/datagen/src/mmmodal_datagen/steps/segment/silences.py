"""Where a stretch of sound is silent, and where it is best cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmmodal_datagen.contracts import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FRAME", "Cut", "Rule", "frames", "levels", "loud", "silent", "where_to_cut"]

FRAME = RATE // 50
"""Samples whose level is taken together: 20 ms."""

LOUD = 95  # percentile of the levels that stands for the sound; a clap is no measure of speech
INAUDIBLE = -60.0  # dB below full scale: silent, whatever is beside it
NOTHING = 1e-12  # power of digital silence


class Rule(NamedTuple):
    """What is silence, and what it means; lengths in frames."""

    drop: float
    """dB by which silence lies below the loud parts around it."""

    silence: int
    """The shortest that is a place to cut at."""

    pause: int
    """The shortest that always ends a clip."""

    padding: int
    """How much of it a clip keeps on either side."""


class Cut(NamedTuple):
    """Where a clip ends, in frames, and whether that is amid sound."""

    end: int
    in_sound: bool


def frames(seconds: float) -> int:
    """Return a length in frames."""
    return round(seconds * RATE / FRAME)


def levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the level of each frame in dB below full scale, [frames]; the last may be partial."""
    missing = -len(samples) % FRAME
    parts = np.pad(samples, (0, missing)).reshape(-1, FRAME)  # [frames, FRAME]
    power = np.square(parts, dtype=np.float64).mean(axis=1)
    decibels: NDArray[np.float64] = 10 * np.log10(power + NOTHING)
    return decibels


def loud(loudness: NDArray[np.float64]) -> float:
    """Return the level of the loud parts, in dB below full scale."""
    return float(np.percentile(loudness, LOUD))


def silent(loudness: NDArray[np.float64], level: float, drop: float) -> NDArray[np.bool_]:
    """Say of each frame whether it is silent beside sound of this level."""
    return loudness < max(INAUDIBLE, level - drop)


def where_to_cut(
    loudness: NDArray[np.float64], quiet: NDArray[np.bool_], rule: Rule, *, whole: bool
) -> Cut:
    """Return where a clip ends that begins with these frames.

    That is the first long pause; else the end, if this is the `whole` rest; else the last silence
    of the second half that is no mere breath beside the longest there; else the last one before;
    else the quietest moment of the second half.
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
    """Return where each silence starts and stops."""
    edges = np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _within(start: int, stop: int, rule: Rule) -> int:
    """Return the frame of a silence that a clip before it ends with."""
    return min(start + rule.padding, (start + stop + 1) // 2)


def _quietest(loudness: NDArray[np.float64], width: int) -> int:
    """Return the middle of the quietest stretch of the second half."""
    half = loudness[len(loudness) // 2 :]
    width = max(1, min(width, len(half)))
    means = np.convolve(half, np.full(width, 1 / width), mode="valid")
    return len(loudness) // 2 + int(means.argmin()) + (width + 1) // 2
