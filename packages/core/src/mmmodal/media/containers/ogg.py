"""Check that an Ogg file is whole, by its pages and their checksums (RFC 3533 §6)."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, cut_off

__all__ = ["check_pages", "ends_stream"]

HEADER = 27  # bytes, of which the last one counts the bytes of lengths that follow
FIRST_OF_STREAM, LAST_OF_STREAM = 2, 4
LONGEST_PAGE = 65_307  # bytes
CHECKSUM = slice(22, 26)
MOST_PAGES = 200_000
# Ogg orders the bits of a byte in reverse to zlib.
TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    """One page; a concatenation of files has streams that start after others have ended."""

    head: bytes
    rest: bytes

    @property
    def starts_stream(self) -> bool:
        """Whether a stream begins here."""
        return bool(self.head[5] & FIRST_OF_STREAM)

    @property
    def checksum(self) -> bytes:
        """The checksum of its bytes."""
        blank = self.head[:22] + b"\0" * 4 + self.head[26:]
        turned = zlib.crc32((blank + self.rest).translate(TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        return turned.to_bytes(4, "big").translate(TURNED)

    @property
    def sound(self) -> bool:
        """Whether its checksum is that of its bytes."""
        return self.checksum == self.head[CHECKSUM]


def check_pages(file: BinaryIO, origin: str) -> None:
    """Check all pages: decoders silently skip a damaged page, and sound is lost.

    Raises:
        MediaError: a page is cut off or damaged, or there is more than one stream.
    """
    streams = 0
    for number in range(MOST_PAGES):
        page = _next(file, number, origin)
        if page is None:
            return
        if not page.sound:
            raise MediaError("unreadable", origin, f"its page {number:,} is damaged; replace it")
        streams += page.starts_stream
        if streams > 1:
            reason = f"it holds several streams, and only the first would be read; {CONVERT}"
            raise MediaError("unreadable", origin, reason)
    raise MediaError("too-large", origin, f"it has more than {MOST_PAGES:,} pages; {CONVERT}")


def ends_stream(file: BinaryIO) -> bool:
    """Return whether the last page says that it is the last; a stream that is recorded has none."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - LONGEST_PAGE, 0))
    tail = file.read()
    file.seek(0)
    flags = tail[tail.rfind(b"OggS\0") + 5 :][:1]
    return bool(flags and flags[0] & LAST_OF_STREAM)


def _next(file: BinaryIO, number: int, origin: str) -> Page | None:
    head = file.read(HEADER)
    if not head.strip(b"\0"):
        return None
    if len(head) == HEADER and not head.startswith(b"OggS\0"):
        raise MediaError("unreadable", origin, f"its page {number:,} is damaged; replace it")
    lengths = file.read(head[-1]) if len(head) == HEADER else b""
    if len(head) < HEADER or len(lengths) < head[-1]:
        raise cut_off(f"within page {number:,}", origin)
    body = file.read(sum(lengths))
    if len(body) < sum(lengths):
        raise cut_off(f"within page {number:,}", origin)
    return Page(head, lengths + body)
