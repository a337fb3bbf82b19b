"""Decode WAV, FLAC and Ogg with libsndfile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, check_whole
from mmmodal.modalities.sound.recording import AudioLimits, Sound, counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from soundfile import SoundFile

__all__ = ["open_libsndfile"]

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
BLOCK = 65_536  # samples per channel
UNKNOWN = 2**62  # samples; libsndfile returns 2**63 - 1 for a FLAC stream from a pipe
UNKNOWN_RIFF = 2**31 - 2**20  # bytes; the header of a WAV from a pipe has about 2 or 4 GiB
SLOPPY_RIFF = 16  # bytes; some writers count the header, or omit the padding of a chunk


@contextmanager
def open_libsndfile(file: BinaryIO, limits: AudioLimits, origin: str) -> Iterator[Sound]:
    """Open a WAV, FLAC or Ogg file, and check that it is as long as in its header."""
    _check_riff(file, origin)
    with _forward(file, origin) as sound:
        length = sound.frames
        if length >= UNKNOWN:
            most = limits.seconds * sound.samplerate
            length = counted(map(len, _blocks(sound)), most)
    with _forward(file, origin) as sound:
        blocks = _complete(sound, length, origin)
        yield Sound(sound.channels, sound.samplerate, length, blocks)


def _forward(file: BinaryIO, origin: str) -> SoundFile:
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc, unused-ignore]
        """A sound file that is read from start to end only."""

        def seekable(self) -> bool:
            # soundfile seeks after each block, which fails for FLAC of unknown length.
            return False

    file.seek(0)
    sound = Forward(file)
    if sound.format not in FORMATS:
        raise MediaError("format", origin, f"{sound.format} is unsupported; {CONVERT}")
    return sound


def _blocks(sound: SoundFile) -> Iterator[NDArray[np.float32]]:
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):  # [S, channels]
        yield block


def _complete(sound: SoundFile, promised: int, origin: str) -> Iterator[NDArray[np.float32]]:
    found = 0
    for block in _blocks(sound):
        found += len(block)
        yield block
    check_whole(promised, found, 0, "samples", origin)


def _check_riff(file: BinaryIO, origin: str) -> None:
    """Raise a MediaError for a WAV that was cut off, which libsndfile accepts."""
    head, size = file.read(28), file.seek(0, os.SEEK_END)
    length: Any = {b"RIFF": head[4:8], b"RF64": head[20:28]}.get(head[:4], b"")
    promised = int.from_bytes(length, "little") + 8
    if promised < UNKNOWN_RIFF:
        check_whole(promised, size, SLOPPY_RIFF, "bytes", origin)
