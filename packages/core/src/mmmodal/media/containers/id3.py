"""Skip ID3 tags before a recording, so that no decoder spends memory on pictures in them."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

__all__ = ["after_id3"]

HEADER = 10  # bytes
FOOTER_FLAG = 0x10
LONGEST_PADDING = 65_536  # bytes of zeros that some taggers write after a tag


def after_id3(file: BinaryIO) -> BinaryIO:
    """Return `file` without the ID3v2 tags at its beginning (id3.org, ID3v2.4.0 §3.1)."""
    start = 0
    while (head := _read_at(file, start, HEADER))[:3] == b"ID3" and len(head) == HEADER:
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F  # the top bit is always zero
        start += HEADER + size + (HEADER if head[5] & FOOTER_FLAG else 0)
    if start:
        padding = _read_at(file, start, LONGEST_PADDING)
        start += len(padding) - len(padding.lstrip(b"\0"))
    file.seek(0)
    return Section(file, start) if start else file


def _read_at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


class Section(io.RawIOBase, BinaryIO):
    """The part of `file` from `start` to its end."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        file.seek(start)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or all."""
        return self._file.read(-1 if size is None else size)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as possible; return the number of bytes read."""
        data = self._file.read(len(buffer))
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
