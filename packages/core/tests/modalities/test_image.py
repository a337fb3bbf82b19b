"""Every common picture becomes upright 8-bit RGB; anything else is one MediaError."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from media_files import encode_picture
from mmmodal.errors import MediaError
from mmmodal.media import Source, read_media
from mmmodal.modalities.image import Image
from odd_pictures import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    SMALL,
    WHITE,
    chunk,
    corners,
    png,
    quarters,
    read,
    refusal,
    tiff,
)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_common_formats_are_read_from_bytes_and_files(form: str, tmp_path: Path) -> None:
    data = encode_picture(quarters(), form)
    (tmp_path / "picture.wrong").write_bytes(data)  # the name says nothing, the content does
    for value in (data, tmp_path / "picture.wrong"):
        image = read_media(Image(), value, root=None, limits=SMALL)
        assert image.size == (16, 8)
        assert corners(image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_compressed_tiff_is_read_from_a_file(compression: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(encode_picture(quarters(), "TIFF", compression=compression))
    image = read_media(Image(), tmp_path / "a.tif", root=None, limits=SMALL)
    assert corners(image) == [RED, GREEN, BLUE, WHITE]


def test_decoded_picture_outlives_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_picture(quarters(), "PNG"))
    image = read_media(Image(), tmp_path / "a.png", root=None, limits=SMALL)
    (tmp_path / "a.png").unlink()
    assert type(image) is pillow.Image
    assert corners(image.copy()) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
        (99, [RED, GREEN, BLUE, WHITE]),
    ],
)
def test_picture_is_turned_upright(
    form: str, orientation: int, expected: list[tuple[int, ...]]
) -> None:
    exif = pillow.Exif()
    exif[0x0112] = orientation
    image = read(encode_picture(quarters(), form, exif=exif))
    assert corners(image) == expected
    assert image.size == ((8, 16) if 5 <= orientation <= 8 else (16, 8))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"nonsense", b"II*\0\xff\xff\xff\xff", b"\0"])
def test_broken_exif_does_not_cost_the_picture(form: str, exif: bytes) -> None:
    image = read(encode_picture(quarters(), form, exif=b"Exif\0\0" + exif))
    assert corners(image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 255, WHITE),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 0), WHITE),
        ("LA", (100, 255), (100, 100, 100)),
        ("RGBA", (0, 0, 255, 0), WHITE),
        ("RGBA", (0, 0, 255, 255), BLUE),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_grey_and_transparency_become_rgb_on_white(
    form: str, mode: str, value: Any, expected: tuple[int, ...]
) -> None:
    image = read(encode_picture(pillow.new(mode, (3, 2), value), form))
    assert image.getpixel((2, 1)) == expected


def test_palette_with_alpha_is_laid_on_white() -> None:
    image = pillow.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    result = read(encode_picture(image, "PNG", transparency=b"\x00\xff"))
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]
    result = read(encode_picture(image, "GIF", transparency=0))
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]


def test_transparent_colour_is_laid_on_white() -> None:
    key = chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0))
    image = read(png(2, 1, 8, 2, b"\0" + bytes(RED + BLUE), key))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]
    key = chunk(b"tRNS", struct.pack(">H", 1000))
    image = read(png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 1000, 0), key))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLACK]


def test_cmyk_becomes_rgb() -> None:
    for form in ("JPEG", "TIFF"):
        image = read(encode_picture(pillow.new("CMYK", (8, 8), (0, 255, 255, 0)), form))
        red, green, blue = image.getpixel((4, 4))  # type: ignore[misc]
        assert red > 250
        assert max(green, blue) < 5


def test_ycck_of_photoshop_becomes_rgb() -> None:
    """Inverted CMYK, of which the first three are stored as brightness and two colours."""
    red, inverted_black = (76, 85, 255), 255  # as YCbCr, of which libjpeg makes 255 - RGB
    cyan = (179, 171, 0)
    for stored, expected in ((red, (0, 255, 255)), (cyan, RED)):
        values = tuple(255 - value for value in (*stored, inverted_black))  # Pillow inverts
        data = encode_picture(pillow.new("CMYK", (8, 8), values), "JPEG", quality=100)
        place = data.index(b"Adobe") + 11
        image = read(data[:place] + b"\2" + data[place + 1 :])
        assert np.abs(np.subtract(image.getpixel((4, 4)), expected)).max() < 5


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (2, (65_535, 32_768, 0), (255, 128, 0)),  # RGB
        (4, (32_768, 65_535), (128, 128, 128)),  # grey with alpha
        (4, (32_768, 0), WHITE),
        (6, (65_535, 0, 0, 65_535), RED),  # RGB with alpha
        (6, (65_535, 0, 0, 0), WHITE),
    ],
)
def test_sixteen_bit_channels_are_scaled(
    kind: int, values: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    assert read(png(1, 1, 16, kind, row)).getpixel((0, 0)) == expected


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_few_bits_is_scaled(depth: int) -> None:
    image = read(png(2, 1, depth, 0, bytes([0, (2**depth - 1) << (8 - 2 * depth)])))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [BLACK, WHITE]


@pytest.mark.parametrize("depth", [1, 8])
def test_transparent_grey_is_laid_on_white(depth: int) -> None:
    key = chunk(b"tRNS", struct.pack(">H", 0))
    image = read(png(2, 1, depth, 0, bytes([0, 0, 0]), key))
    assert image.getpixel((0, 0)) == WHITE


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 128, 256, 32_768, 65_535]], np.uint16)
    for form in ("PNG", "TIFF"):
        image = read(encode_picture(pillow.fromarray(values), form))
        assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_sixteen_bit_tiff_of_either_byte_order_polarity_and_depth_is_scaled() -> None:
    values = [0, 32_768, 65_535]
    tags = {256: 3, 257: 1, 258: 16, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 6}
    data = struct.pack("<3H", *values)
    assert np.asarray(read(tiff(tags, data)))[0, :, 0].tolist() == [0, 128, 255]
    assert np.asarray(read(tiff(tags | {262: 0}, data)))[0, :, 0].tolist() == [255, 127, 0]
    twelve = bytes([0x00, 0x08, 0x00]) + bytes([0xFF, 0xF0, 0x00])  # 0, 2048, 4095
    tags |= {258: 12, 279: 6}
    assert np.asarray(read(tiff(tags, twelve)))[0, :, 0].tolist() == [0, 128, 255]
    big = pillow.fromarray(np.array([values], ">u2"))
    assert np.asarray(read(encode_picture(big, "TIFF")))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_without_an_agreed_range_are_refused(mode: str) -> None:
    error = refusal(encode_picture(pillow.new(mode, (4, 4)), "TIFF"))
    assert error.code == "format"
    assert "8 or 16 bits" in error.reason


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation_is_read(form: str) -> None:
    frames = [pillow.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = encode_picture(frames[0], form, save_all=True, append_images=frames[1:])
    assert set(corners(read(data))) == {RED}


def test_first_picture_of_a_stereo_jpeg_is_read() -> None:
    data = encode_picture(
        quarters(), "MPO", save_all=True, append_images=[pillow.new("RGB", (16, 8))]
    )
    assert corners(read(data)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_picture_is_refused(form: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode_picture(pillow.fromarray(noise), form)
    read(data)
    assert refusal(data[: int(len(data) * part)]).code in ("unreadable", "format")


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"\n<html>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound"),
        (b"x", ""),
        (b"P6 1 1 255 abc", ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0", ""),
        (b"\0\0\1\0\1\0", ""),
    ],
)
def test_other_content_is_refused_with_a_hint_and_what_to_do(data: bytes, hint: str) -> None:
    error = refusal(data)
    assert error.code == "format"
    assert hint in error.reason
    assert "convert it to JPEG, PNG" in error.reason


def test_words_of_the_decoder_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_picture(quarters(), "PNG")

    def fail(*arguments: object) -> None:
        raise RuntimeError("decoder at 0x7f00 in /home/private")

    monkeypatch.setattr(pillow.Image, "load", fail)
    error = refusal(data)
    assert error.code == "unreadable"
    assert error.reason == "the image is damaged or cut off (RuntimeError); replace the file"


def test_pillow_image_is_converted_as_a_file_is() -> None:
    exif = pillow.Exif()
    exif[0x0112] = 6
    data = encode_picture(quarters(), "JPEG", exif=exif)
    given = pillow.open(io.BytesIO(data))
    assert Image().convert(given).tobytes() == read(data).tobytes()
    assert given.size == (16, 8), "the caller's image is left as it is"
    assert Image().convert(pillow.new("RGBA", (2, 2))).getpixel((0, 0)) == WHITE


def test_truncated_pillow_image_is_one_media_error() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    given = pillow.open(io.BytesIO(encode_picture(pillow.fromarray(noise), "JPEG")[:2000]))
    with pytest.raises(MediaError) as caught:
        Image().convert(given)
    assert caught.value.code == "unreadable"


def test_source_is_closed_after_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_picture(quarters(), "PNG"))
    (tmp_path / "b.png").write_bytes(encode_picture(quarters(), "PNG")[:60])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Image().read(Source("a", path=tmp_path / "a.png"), SMALL)
        with pytest.raises(MediaError):
            Image().read(Source("b", path=tmp_path / "b.png"), SMALL)
    assert len(os.listdir("/proc/self/fd")) <= before
