"""A part of a file, with some of its bytes replaced, without copying it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import BinaryIO

__all__ = ["Section"]


class Section(io.RawIOBase, BinaryIO):
    """The part of `file` from `start` to its end."""

    def __init__(
        self, file: BinaryIO, start: int = 0, replaced: Mapping[int, bytes] | None = None
    ) -> None:
        """Open a section at its beginning.

        Args:
            file: an open file, which the section does not close.
            start: the place in `file` where the section begins.
            replaced: bytes to read in place of those of the file, by their place in the section.
        """
        self._file, self._start, self._replaced = file, start, dict(replaced or {})
        file.seek(start)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or all."""
        place = self.tell()
        data = self._file.read(-1 if size is None else size)
        for at, new in self._replaced.items():
            first, last = max(at, place), min(at + len(new), place + len(data))
            if first < last:
                inside = new[first - at : last - at]
                data = data[: first - place] + inside + data[last - place :]
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as possible; return the number of bytes read."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, counted from the start of the section."""
        shift = self._start if whence == os.SEEK_SET else 0
        return self._file.seek(place + shift, whence) - self._start

    def tell(self) -> int:
        """Return the position, counted from the start of the section."""
        return self._file.tell() - self._start

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True
