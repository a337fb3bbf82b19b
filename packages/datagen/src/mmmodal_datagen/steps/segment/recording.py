"""A recording of any length as a stream of pieces: mono, at the rate of recognisers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import soxr

from mmmodal.authoring.media import (
    HIGHEST_RATE,
    LOUDEST,
    LOWEST_RATE,
    AudioLimits,
    Source,
    decoding,
    open_sound,
)
from mmmodal.authoring.parts import MediaError
from mmmodal_datagen.contracts import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmmodal.authoring.media import Sound

__all__ = ["Recording", "recording_limits"]

PIECE = 65_536  # samples that are resampled at once
GIB = 2**30


def recording_limits(hours: float) -> AudioLimits:
    """Return the limits of a recording that is read as a stream."""
    return AudioLimits(file_bytes=256 * GIB, seconds=hours * 3600)


class Recording:
    """A recording that is read once, from start to end, with one piece in memory."""

    def __init__(self, source: Source, limits: AudioLimits) -> None:
        self._source = source
        self._limits = limits
        self.samples = 0
        """The number of samples read so far, at `RATE`."""

    @property
    def seconds(self) -> float:
        """The length of the samples read so far."""
        return self.samples / RATE

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield the samples in order, [S], 16 kHz, as the mean of the channels.

        A damaged file raises an error with the position, after the pieces before it.

        Raises:
            MediaError: it cannot be read, is cut off, or exceeds the limits.
        """
        origin = self._source.origin
        unread = decoding(origin, "the sound is damaged or cut off", "replace the file")
        with (
            self._source.open(self._limits) as file,
            unread,
            open_sound(file, self._limits, origin) as sound,
        ):
            self._check_form(sound)
            for piece in _resampled(self._mixed(sound), sound.rate):
                self.samples += len(piece)
                yield piece
        if not self.samples:
            raise MediaError("empty", origin, "it holds no samples; replace it")

    def _mixed(self, sound: Sound) -> Iterator[NDArray[np.float32]]:
        """Yield mono blocks of at least `PIECE` samples; only the last is shorter."""
        waiting: list[NDArray[np.float32]] = []
        found = 0
        for block in self._placed(sound):  # [S, channels]
            found += len(block)
            self._check_length(found, sound.rate)
            mono = block.mean(axis=1, dtype=np.float32)
            self._check_values(mono)
            waiting.append(mono)
            if sum(map(len, waiting)) >= PIECE:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)

    def _placed(self, sound: Sound) -> Iterator[NDArray[np.floating]]:
        """Yield decoded blocks; an error names the position."""
        origin, done = self._source.origin, 0
        blocks = iter(sound.blocks)
        while True:
            try:
                with decoding(origin, "the sound is damaged", "replace the file"):
                    block = next(blocks, None)
            except MediaError as error:
                reason = f"after {done / sound.rate:,.1f} s: {error.reason}"
                raise MediaError(error.code, origin, reason) from error.__cause__
            if block is None:
                return
            done += len(block)
            yield block

    def _check_form(self, sound: Sound) -> None:
        origin = self._source.origin
        most = self._limits.channels
        if not 1 <= sound.channels <= most:
            reason = f"{sound.channels} channels, and 1 to {most} are read; mix it down"
            raise MediaError("too-large", origin, reason)
        if not LOWEST_RATE <= sound.rate <= HIGHEST_RATE:
            bounds = f"{LOWEST_RATE:,} to {HIGHEST_RATE:,}"
            reason = f"a rate of {sound.rate:,} Hz, and {bounds} are read; resample it"
            raise MediaError("format", origin, reason)
        self._check_length(sound.samples, sound.rate)

    def _check_length(self, samples: int, rate: int) -> None:
        hours = self._limits.seconds / 3600
        if samples / rate > self._limits.seconds:
            reason = f"it lasts longer than {hours:g} hours; split it or raise `hours`"
            raise MediaError("too-large", self._source.origin, reason)

    def _check_values(self, samples: NDArray[np.float32]) -> None:
        peak = float(np.abs(samples).max(initial=0.0))
        if not np.isfinite(peak):
            reason = "it holds samples that are not numbers; replace it"
            raise MediaError("not-finite", self._source.origin, reason)
        if peak > LOUDEST:
            reason = (
                f"samples reach {peak:,.6g}, and full scale is 1; divide by the full scale used"
            )
            raise MediaError("out-of-range", self._source.origin, reason)


def _resampled(blocks: Iterable[NDArray[np.float32]], rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield blocks at `RATE`, equal to the whole recording resampled at once."""
    if rate == RATE:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)
