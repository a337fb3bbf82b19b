"""Skip ID3 tags before a recording, so that no decoder spends memory on pictures in them."""

from __future__ import annotations

from typing import BinaryIO

from mmmodal.media.containers.sections import Section

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
