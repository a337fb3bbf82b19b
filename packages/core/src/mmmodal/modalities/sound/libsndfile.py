"""Decode WAV, FLAC, Ogg, AIFF, AU and CAF with libsndfile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, check_whole
from mmmodal.modalities.sound.recording import AudioLimits, Sound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from soundfile import SoundFile

__all__ = ["open_libsndfile"]

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "AIFF", "AU", "CAF")
BLOCK = 65_536  # samples per channel


@contextmanager
def open_libsndfile(file: BinaryIO, limits: AudioLimits, origin: str) -> Iterator[Sound]:
    """Open a file, and check that it has as many samples as in its header."""
    with _forward(file, origin) as sound:
        blocks = _complete(sound, sound.frames, origin)
        yield Sound(sound.channels, sound.samplerate, sound.frames, blocks)


def _forward(file: BinaryIO, origin: str) -> SoundFile:
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc, unused-ignore]
        """A sound file that is read from start to end only."""

        def seekable(self) -> bool:
            # soundfile seeks after each block, which fails for FLAC of unknown length.
            return False

    file.seek(0)
    sound = Forward(_Seekable(file))
    if sound.format not in FORMATS:
        raise MediaError("format", origin, f"{sound.format} is unsupported; {CONVERT}")
    return sound


class _Seekable:
    """A file in which a seek to no place does nothing; soundfile prints the error otherwise."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self.seekable = file.read, file.tell, file.seekable
        self._file = file

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as possible; return the number of bytes read."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Set the position if it is one; return the position."""
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(place, whence)
        return self.tell()


def _blocks(sound: SoundFile) -> Iterator[NDArray[np.float32]]:
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):  # [S, channels]
        yield block


def _complete(sound: SoundFile, promised: int, origin: str) -> Iterator[NDArray[np.float32]]:
    found = 0
    for block in _blocks(sound):
        found += len(block)
        yield block
    check_whole(promised, found, 0, "samples", origin)
