"""Every common picture becomes upright 8-bit RGB; anything else is one MediaError."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from media_files import encode_picture
from mmmodal.errors import MediaError
from mmmodal.media import Source, read_media
from mmmodal.modalities.image import Image, ImageLimits

SMALL = ImageLimits(pixels=10_000, side=200)
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
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
    image = read_media(Image(), data, root=None, limits=limits)
    assert isinstance(image, pillow.Image)
    assert image.mode == "RGB"
    assert image.info == {}
    return image


def refusal(data: bytes, limits: ImageLimits = SMALL) -> MediaError:
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


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 200), (100, 100), (200, 50)])
def test_picture_passes_at_the_limits(size: tuple[int, int]) -> None:
    assert read(encode_picture(pillow.new("RGB", size), "PNG")).size == size


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((201, 1), "limits.image.side"),
        ((1, 201), "limits.image.side"),
        ((73, 137), "limits.image.pixels"),
    ],
)
def test_picture_above_a_limit_is_refused_before_decoding(
    form: str, size: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode_picture(pillow.new("RGB", size), form)
    monkeypatch.setattr(pillow.Image, "load", lambda *a: pytest.fail("was decoded"))
    error = refusal(data)
    assert error.code == "too-large"
    assert f"{size[0]} x {size[1]} pixels" in error.reason
    assert f"`{name}`" in error.reason


def test_decoded_bytes_are_limited_at_four_a_pixel() -> None:
    data = encode_picture(pillow.new("RGB", (10, 10)), "PNG")
    read(data, ImageLimits(decoded_bytes=400))
    error = refusal(data, ImageLimits(decoded_bytes=399))
    assert error.code == "too-large"
    assert "`limits.decoded_bytes`" in error.reason


def test_limit_above_the_one_of_pillow_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings(action="error"):
        assert read(encode_picture(pillow.new("RGB", (100, 100)), "PNG")).size == (100, 100)


BOMB = """
import json, re, sys, time, warnings
from pathlib import Path
warnings.simplefilter("error")
from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.image import Image, ImageLimits

def peak():  # KiB; ru_maxrss would begin with what the parent process had
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

small, bomb = sys.argv[1:]
read_media(Image(), small, root=None, limits=ImageLimits())
before, start = peak(), time.perf_counter()
try:
    read_media(Image(), bomb, root=None, limits=ImageLimits(**json.load(sys.stdin)))
    print("decoded", end=" ")
except MediaError as error:
    print(error.code, end=" ")
print((peak() - before) // 1024, time.perf_counter() - start)
"""


def swallow(bomb: bytes, form: str, folder: Path, **limits: int) -> tuple[str, int, float]:
    """Read `bomb` in a fresh process; return what came of it, its memory in MiB and seconds."""
    (folder / "small").write_bytes(encode_picture(quarters(), form))
    (folder / "bomb").write_bytes(bomb)
    command = [sys.executable, "-c", BOMB, str(folder / "small"), str(folder / "bomb")]
    run = subprocess.run(
        command, input=json.dumps(limits), capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    outcome, memory, seconds = run.stdout.split()
    return outcome, int(memory), float(seconds)


def test_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    side = 13_378  # 179 million pixels, the most that Pillow decodes
    bomb = png(side, side, 1, 0, bytes((side + 7) // 8 + 1) * side)
    assert len(bomb) < 25_000
    outcome, memory, seconds = swallow(bomb, "PNG", tmp_path)
    assert outcome == "too-large"
    assert memory < 64
    assert seconds < 1


def test_measurement_of_a_bomb_sees_one_that_is_decoded(tmp_path: Path) -> None:
    side = 5_000
    bomb = png(side, side, 1, 0, bytes((side + 7) // 8 + 1) * side)
    outcome, memory, _ = swallow(bomb, "PNG", tmp_path)
    assert outcome == "decoded"
    assert memory > 64


def test_huge_tile_of_a_small_tiff_is_refused_before_decoding(tmp_path: Path) -> None:
    data = zlib.compress(bytes(9_000 * 9_000), 1)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 9_000, 323: 9_000, 324: 0}
    bomb = tiff(tags | {325: len(data)}, data)
    outcome, memory, _ = swallow(bomb, "TIFF", tmp_path)
    assert (outcome, memory < 64) == ("too-large", True)
    loose = {"pixels": 10**9, "decoded_bytes": 10**10}
    outcome, memory, _ = swallow(bomb, "TIFF", tmp_path, **loose)
    assert (outcome, memory > 64) == ("decoded", True), "the bomb of this test is a dud"


def test_gif_frame_beyond_its_canvas_is_limited() -> None:
    data = bytearray(encode_picture(pillow.new("P", (10, 10)), "GIF"))
    frame = data.index(b",\0\0\0\0\x0a\0\x0a\0")
    for side in (201, 65_535):  # above our limit; above that of Pillow
        data[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
        assert refusal(bytes(data)).code == "too-large"


def test_progressive_jpeg_of_many_scans_is_refused() -> None:
    data = encode_picture(quarters(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda")) : -2]
    assert read(data[:-2] + scan * 50 + data[-2:]).size == (16, 8)
    start = time.perf_counter()
    error = refusal(data[:-2] + scan * 5_000 + data[-2:])
    assert time.perf_counter() - start < 1
    assert error.code == "too-large"
    assert "scans" in error.reason


def test_bytes_after_the_end_of_a_jpeg_are_not_counted_as_scans() -> None:
    data = (
        encode_picture(quarters(), "JPEG") + b"\0\0" + b"\xff\xda\0\0" * 1000
    )  # as the film of a motion photo
    assert corners(read(data)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_file_of_millions_of_segments_is_refused_soon(form: str) -> None:
    data = encode_picture(quarters(), form)
    place, segment = {
        "JPEG": (2, b"\xff\xfe\0\2"),
        "PNG": (33, chunk(b"prVt", b"")),
        "GIF": (data.find(b",\0\0\0\0\x10\0\x08\0"), b"!\xf0\1a\0"),
    }[form]
    assert corners(read(data[:place] + segment * 1000 + data[place:]))[0] == RED
    spam = data[:place] + segment * (12 * 2**20 // len(segment)) + data[place:]
    start = time.perf_counter()
    error = refusal(spam)
    assert time.perf_counter() - start < 5  # seconds; 0.5 where nothing else runs
    assert error.code == "too-large"
    assert "segments" in error.reason


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


def test_numpy_array_is_converted_and_not_shared() -> None:
    array = np.asarray(quarters()).copy()
    image = Image().convert(array)
    turned = Image().convert(array[:, ::-1])
    array[:] = 0
    assert corners(image) == [RED, GREEN, BLUE, WHITE]
    assert corners(turned) == [GREEN, RED, WHITE, BLUE]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.zeros((4, 4), np.uint8), "unsupported"),
        (np.zeros((3, 4, 4), np.uint8), "unsupported"),
        (np.zeros((4, 4, 4), np.uint8), "unsupported"),
        (np.zeros((4, 4, 3), np.float32), "unsupported"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (pillow.new("RGB", (0, 4)), "empty"),
        (None, "unsupported"),
        ([1, 2], "unsupported"),
    ],
)
def test_other_objects_are_refused(value: Any, code: str) -> None:
    with pytest.raises(MediaError, match="image given as") as caught:
        Image().convert(value)
    assert caught.value.code == code


def test_source_is_closed_after_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_picture(quarters(), "PNG"))
    (tmp_path / "b.png").write_bytes(encode_picture(quarters(), "PNG")[:60])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Image().read(Source("a", path=tmp_path / "a.png"), SMALL)
        with pytest.raises(MediaError):
            Image().read(Source("b", path=tmp_path / "b.png"), SMALL)
    assert len(os.listdir("/proc/self/fd")) <= before
