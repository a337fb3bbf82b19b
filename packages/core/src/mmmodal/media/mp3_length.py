"""How long an MP3 says it is, if it does: the frame that LAME and others put first."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

from mmmodal.media.sound import check_whole

__all__ = ["check_length"]

# Sync and side information take 13 to 38 bytes, by version and channels.
FIRST_FRAME = re.compile(rb".{13,38}?(?:Xing|Info)\x00\x00\x00([\x00-\x0f])(.{8})", re.DOTALL)
HAS_FRAMES, HAS_BYTES = 1, 2


def check_length(file: BinaryIO, origin: str) -> None:
    """Compare the size that the first frame tells with the bytes there are.

    Raises:
        MediaError: some are missing.
    """
    found = FIRST_FRAME.match(file.read(64))
    if found is None or not found[1][0] & HAS_BYTES:
        return
    place = 4 if found[1][0] & HAS_FRAMES else 0
    promised = int.from_bytes(found[2][place : place + 4], "big")
    check_whole(promised, file.seek(0, os.SEEK_END), 0, "bytes", origin)
