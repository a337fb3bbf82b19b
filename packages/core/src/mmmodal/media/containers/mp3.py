"""Check the length of an MP3 by its first frame, in which LAME and others write it."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, check_whole

__all__ = ["check_length", "check_size", "ends_whole"]

# Sync and side information take 13 to 38 bytes, by version and channels.
FIRST_FRAME = re.compile(rb".{13,38}?(?:Xing|Info)\x00\x00\x00([\x00-\x0f])(.{8})", re.DOTALL)
HAS_FRAMES, HAS_BYTES = 1, 2
HIGHEST_RATE = 40_000  # bytes a second: 320 kbit/s
MOST_TAGS = 4 * 2**20  # bytes, after the frames
MOST_FRAMES = 500_000
HEADER = 4  # bytes
TAILS = (b"TAG", b"APETAGEX"[:HEADER], b"\0" * HEADER)

# kbit/s by version and layer, from the first index on (ISO/IEC 11172-3 §2.4.2.3, 13818-3 §2.4.2.3).
HALF = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
BIT_RATES = {
    (1, 1): tuple(range(32, 449, 32)),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    **{(2, 1): HALF, (2, 2): LOW, (2, 3): LOW},
}
RATES = (44_100, 48_000, 32_000)  # Hz
VERSIONS = {3: (1, 1), 2: (2, 2), 0: (2, 4)}  # the version, and by how much the rate is divided


class Frames(NamedTuple):
    """The frames from a place to the end of a file."""

    complete: int
    last: int
    """The size of the last complete one, in bytes."""

    is_whole: bool
    """Whether nothing but tags follows the last complete one."""


def check_length(file: BinaryIO, origin: str) -> None:
    """Compare the size in the first frame with that of the file.

    The size may be wrong by less than a frame, or more if the number of frames is right.

    Raises:
        MediaError: bytes are missing.
    """
    found = FIRST_FRAME.match(file.read(64))
    if found is None or not found[1][0] & HAS_BYTES:
        return
    has_frames = found[1][0] & HAS_FRAMES
    place = 4 if has_frames else 0
    promised = int.from_bytes(found[2][place : place + 4], "big")
    size = file.seek(0, os.SEEK_END)
    if promised <= size:
        return
    frames = _frames(file, 0)
    told = int.from_bytes(found[2][:4], "big") if has_frames else MOST_FRAMES
    counted = frames.complete - 1  # the first frame, which holds these numbers, is not counted
    if not frames.is_whole or (counted < told and promised - size >= frames.last):
        check_whole(promised, size, 0, "bytes", origin)


def ends_whole(file: BinaryIO, start: int, missing: int) -> bool:
    """Return whether the last of the frames from `start` on is complete, and no other one missing.

    Args:
        file: an open file.
        start: the place of the first frame.
        missing: the number of bytes that are missing from the end of the file.
    """
    frames = _frames(file, start)
    return frames.is_whole and missing < frames.last


def _frames(file: BinaryIO, start: int) -> Frames:
    end = file.seek(0, os.SEEK_END)
    place, last = start, 0
    for number in range(MOST_FRAMES):
        file.seek(place)
        head = file.read(HEADER)
        size = _frame_size(head)
        if not size or place + size > end:
            return Frames(number, last, not head or head.startswith(TAILS))
        place, last = place + size, size
    return Frames(MOST_FRAMES, last, is_whole=False)


def _frame_size(head: bytes) -> int:
    """Return the size of the frame that begins with `head`, in bytes; 0 if it is no frame."""
    if len(head) < HEADER or head[0] != 0xFF or head[1] < 0xE0:
        return 0
    version, layer = VERSIONS.get(head[1] >> 3 & 3), 4 - (head[1] >> 1 & 3)
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version is None or layer == 4 or not 0 < bit_rate < 15 or rate == 3:
        return 0
    bits = BIT_RATES[version[0], layer][bit_rate - 1] * 1_000
    rate, padding = RATES[rate] // version[1], head[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    return (72 if (version[0], layer) == (2, 3) else 144) * bits // rate + padding


def check_size(file: BinaryIO, seconds: float, origin: str) -> None:
    """Compare the size with the maximum for its length: libav keeps bytes between frames in memory.

    Raises:
        MediaError: the file is larger.
    """
    most = int(seconds * HIGHEST_RATE) + MOST_TAGS
    if file.seek(0, os.SEEK_END) > most:
        reason = f"an MP3 of {seconds:,g} s has at most {most:,} bytes"
        raise MediaError("too-large", origin, f"{reason}; cut it into clips or {CONVERT}")
