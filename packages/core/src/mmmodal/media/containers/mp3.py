"""Check the length of an MP3 by its first frame, in which LAME and others write it."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, check_whole

__all__ = ["check_length", "check_size"]

# Sync and side information take 13 to 38 bytes, by version and channels.
FIRST_FRAME = re.compile(rb".{13,38}?(?:Xing|Info)\x00\x00\x00([\x00-\x0f])(.{8})", re.DOTALL)
HAS_FRAMES, HAS_BYTES = 1, 2
HIGHEST_RATE = 40_000  # bytes a second: 320 kbit/s
MOST_TAGS = 4 * 2**20  # bytes, after the frames


def check_length(file: BinaryIO, origin: str) -> None:
    """Compare the size in the first frame with that of the file.

    Raises:
        MediaError: bytes are missing.
    """
    found = FIRST_FRAME.match(file.read(64))
    if found is None or not found[1][0] & HAS_BYTES:
        return
    place = 4 if found[1][0] & HAS_FRAMES else 0
    promised = int.from_bytes(found[2][place : place + 4], "big")
    check_whole(promised, file.seek(0, os.SEEK_END), 0, "bytes", origin)


def check_size(file: BinaryIO, seconds: float, origin: str) -> None:
    """Compare the size with the maximum for its length: libav keeps bytes between frames in memory.

    Raises:
        MediaError: the file is larger.
    """
    most = int(seconds * HIGHEST_RATE) + MOST_TAGS
    if file.seek(0, os.SEEK_END) > most:
        reason = f"an MP3 of {seconds:,g} s has at most {most:,} bytes"
        raise MediaError("too-large", origin, f"{reason}; cut it into clips or {CONVERT}")
