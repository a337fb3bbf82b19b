"""Check that a raw AAC file is whole, by its frames (ADTS, ISO/IEC 13818-7 §6.2)."""

from __future__ import annotations

import os
from typing import BinaryIO

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, cut_off

__all__ = ["check_frames"]

HEADER = 7  # bytes
TAIL = b"TAG"  # an ID3v1 tag, of 128 bytes
MOST_FRAMES = 500_000


def check_frames(file: BinaryIO, origin: str) -> None:
    """Check all frames to the end of the file.

    Raises:
        MediaError: the last frame is cut off, or a frame does not begin at the end of the last.
    """
    end = file.seek(0, os.SEEK_END)
    place = 0
    for _ in range(MOST_FRAMES):
        file.seek(place)
        head = file.read(HEADER)
        if not head or head[:3] == TAIL:
            return
        if len(head) == HEADER and not (head[0] == 0xFF and head[1] & 0xF6 == 0xF0):
            reason = f"its AAC frames are damaged at byte {place:,}; replace it"
            raise MediaError("unreadable", origin, reason)
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if len(head) == HEADER else 0
        if size < HEADER or place + size > end:
            raise cut_off("within a frame", origin)
        place += size
    raise MediaError("too-large", origin, f"it has more than {MOST_FRAMES:,} frames; {CONVERT}")
