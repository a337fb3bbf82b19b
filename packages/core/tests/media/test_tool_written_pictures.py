"""Pictures with sloppy ends and sizes are read as Pillow reads them; none is read with a part missing."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageOps

from media_files import encode_picture
from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.image import Image

PICTURE = pillow.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
TURNED = pillow.Exif()
TURNED[0x0112] = 6
TEXT_CHUNK = struct.pack(">I", 3) + b"tEXta\0b" + b"\0\0\0\0"


def encoded(form: str, **options: Any) -> bytes:
    return encode_picture(PICTURE, form, **options)


def resized(form: str, place: int, size: int) -> bytes:
    """Return a picture with another size of the file in its header."""
    data = encoded(form)
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


READ: dict[str, Callable[[], bytes]] = {
    **{
        f"{form} with more behind it": lambda form=form: encoded(form) + b"more\n" * 20
        for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
    },
    **{
        f"{form} that is turned": lambda form=form: encoded(form, exif=TURNED)
        for form in ("JPEG", "PNG", "WEBP", "TIFF")
    },
    "JPEG with two ends": lambda: encoded("JPEG") + b"\xff\xd9",
    "JPEG with zeros before its end": lambda: encoded("JPEG")[:-2] + bytes(9) + b"\xff\xd9",
    "JPEG with bytes that fill": lambda: encoded("JPEG")[:2] + b"\xff\xff" + encoded("JPEG")[2:],
    "two pictures in a JPEG": lambda: encoded("MPO", save_all=True, append_images=[PICTURE]),
    "PNG without its end": lambda: encoded("PNG")[:-12],
    "PNG with a damaged text": lambda: encoded("PNG")[:-12] + TEXT_CHUNK + encoded("PNG")[-12:],
    "GIF without its end": lambda: encoded("GIF")[:-1],
    "GIF of the other version": lambda: b"GIF87a" + encoded("GIF")[6:],
    "BMP without its size": lambda: resized("BMP", 2, 0),
    "BMP of a huge size": lambda: resized("BMP", 2, 2**32 - 1),
    "BMP without the size of its pixels": lambda: resized("BMP", 34, 0),
}


def by_pillow(data: bytes) -> pillow.Image:
    return ImageOps.exif_transpose(pillow.open(io.BytesIO(data))).convert("RGB")


def read(data: bytes) -> np.ndarray:
    return np.asarray(read_media(Image(), data, root=None))


@pytest.mark.parametrize("name", READ)
def test_what_pillow_reads_whole_is_read_whole(name: str) -> None:
    data = READ[name]()
    assert np.array_equal(read(data), np.asarray(by_pillow(data)))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_picture_that_is_cut_off_is_refused_or_all_of_it_is_there(form: str) -> None:
    data = encoded(form)
    whole, refused = read(data), 0
    cuts = [*range(1, 40), *range(40, len(data), 197)]
    for missing in cuts:
        try:
            found = read(data[:-missing])
        except MediaError as error:
            refused += 1
            assert error.code in ("unreadable", "format", "empty")
        else:
            assert np.array_equal(found, whole), f"{missing} bytes are missing"
    assert refused >= len(cuts) - 20  # a PNG and a GIF may lack what marks the end


@pytest.mark.parametrize("name", READ)
def test_nothing_is_said(name: str) -> None:
    with warnings.catch_warnings(action="error"):
        read(READ[name]())
