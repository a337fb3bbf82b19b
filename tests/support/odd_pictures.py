"""Pictures written byte by byte, and how tests read and refuse them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image as pillow

from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.image import Image, ImageLimits

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "RED",
    "SMALL",
    "WHITE",
    "chunk",
    "corners",
    "png",
    "quarters",
    "read",
    "refusal",
    "tiff",
]


SMALL = ImageLimits(pixels=10_000, side=200)
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG, with its checksum."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Return a PNG of these rows, with further chunks between its header and them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + body


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """Write a little-endian TIFF of one strip or tile; `tags` refer to the data at offset 0."""
    entries = dict(sorted(tags.items()))
    start = 8 + 2 + 12 * len(entries) + 4
    body = struct.pack("<H", len(entries))
    for tag, value in entries.items():
        offset = value + start if tag in (273, 324) else value
        body += struct.pack("<HHII", tag, 4, 1, offset)
    return b"II*\0" + struct.pack("<I", 8) + body + b"\0" * 4 + data


def read(data: bytes, limits: ImageLimits = SMALL) -> pillow.Image:
    """Read a picture, which must be plain RGB."""
    image = read_media(Image(), data, root=None, limits=limits)
    assert isinstance(image, pillow.Image)
    assert image.mode == "RGB"
    assert image.info == {}
    return image


def refusal(data: bytes, limits: ImageLimits = SMALL) -> MediaError:
    """Return the one clear error of a picture that is refused."""
    with pytest.raises(MediaError) as caught:
        read(data, limits)
    assert caught.value.origin == "bytes in memory"
    assert "0x" not in caught.value.reason
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def quarters(width: int = 16, height: int = 8) -> pillow.Image:
    """Draw red and green above blue and white."""
    image = pillow.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def corners(image: pillow.Image) -> list[tuple[int, ...]]:
    """Return the colours at the four corners, rounded to black or full."""
    width, height = image.size
    places = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    return [tuple(round(v / 255) * 255 for v in np.asarray(image)[y, x]) for x, y in places]
