"""Check the elements of a WebM or Matroska file (RFC 8794, RFC 9559) before libav reads them.

They show whether the file is whole and whether it is encrypted. An element may take two bytes, for
which libav takes up to some hundred (measured: 37 times the size of the file), so they are counted.
"""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, cut_off

__all__ = ["check_elements"]

SEGMENT, CLUSTER, ENCRYPTION = 0x18538067, 0x1F43B675, 0x5035
PARENTS = {
    **{SEGMENT: "Segment", CLUSTER: "Cluster", 0xA0: "BlockGroup", 0x75A1: "BlockAdditions"},
    **{0x1654AE6B: "Tracks", 0xAE: "TrackEntry", 0x6D80: "ContentEncodings"},
    **{0x6240: "ContentEncoding", 0x1941A469: "Attachments"},
}
SMALL_PARENTS = {
    **{0x114D9B74: "SeekHead", 0x1549A966: "Info", 0x1C53BB6B: "Cues", 0x1254C367: "Tags"},
    **{0x1043A770: "Chapters"},
}
HEAD = 12  # bytes, at most: 4 of an identifier, 8 of a size
MOST_ELEMENTS = 500_000
MOST_SMALL = 512 * 1024  # bytes of lists of small elements


class Element(NamedTuple):
    """The head of one element."""

    kind: int
    start: int
    end: int | None
    """None if the size is unknown, as in a live recording."""


def check_elements(file: BinaryIO, origin: str) -> None:
    """Check all elements down to blocks.

    Raises:
        MediaError: an element is cut off, the file is encrypted, or has too many elements.
    """
    size = file.seek(0, os.SEEK_END)
    place = small = 0
    end = size
    for _ in range(MOST_ELEMENTS):
        if place >= end:
            return
        element = _element(file, place, size, origin)
        if element.kind == SEGMENT and element.end is not None:
            end = element.end  # what follows is no Matroska
        if element.kind == ENCRYPTION:
            raise MediaError("format", origin, "it is encrypted; give a decrypted copy")
        if element.kind in PARENTS:
            place = element.start
            continue
        if element.end is None:
            raise _damaged(place, origin)
        place = element.end
        small += (element.end - element.start) * (element.kind in SMALL_PARENTS)
        if small > MOST_SMALL:
            raise _too_much(f"lists of more than {MOST_SMALL:,} bytes", origin)
    raise _too_much(f"more than {MOST_ELEMENTS:,} elements", origin)


def _element(file: BinaryIO, place: int, size: int, origin: str) -> Element:
    """Read an identifier and a size; the leading zeros of each encode its length (RFC 8794 §4)."""
    file.seek(place)
    head = file.read(HEAD)
    wide = 9 - head[0].bit_length()
    if wide > 4:
        raise _damaged(place, origin)
    first = head[wide] if wide < len(head) else 0
    length = 9 - first.bit_length()
    value = head[wide : wide + length]
    if len(value) < length:
        raise cut_off("within an element", origin)
    if not first:
        raise _damaged(place, origin)
    unknown = (1 << 7 * length) - 1
    number = int.from_bytes(value, "big") & unknown
    start = place + wide + length
    kind = int.from_bytes(head[:wide], "big")
    if number == unknown:
        if kind not in (SEGMENT, CLUSTER):
            raise _damaged(place, origin)
        return Element(kind, start, None)
    if start + number > size:
        raise cut_off("within an element", origin)
    return Element(kind, start, start + number)


def _damaged(place: int, origin: str) -> MediaError:
    return MediaError("unreadable", origin, f"it is damaged at byte {place:,}; replace it")


def _too_much(what: str, origin: str) -> MediaError:
    return MediaError("too-large", origin, f"it has {what}; {CONVERT}")
