"""Check the length of an AU file, which Sun and NeXT defined, by its header."""

from __future__ import annotations

import os
from typing import BinaryIO

from mmmodal.media.containers.cuts import check_whole

__all__ = ["check_header"]

UNKNOWN = 0xFFFFFFFF
BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by its encoding


def check_header(file: BinaryIO, origin: str) -> None:
    """Compare the size of the sound in the header with that of the file.

    Raises:
        MediaError: a sample or more is missing.
    """
    _, start, size, encoding, _, channels = (int.from_bytes(file.read(4), "big") for _ in range(6))
    if size != UNKNOWN:
        found = file.seek(0, os.SEEK_END) - start
        slack = max(BYTES.get(encoding, 1) * channels - 1, 0)
        check_whole(size, found, slack if found % (slack + 1) == 0 else 0, "bytes", origin)
