"""Pictures are as large as they may be; a bomb is refused before it is decoded."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import pytest
from PIL import Image as pillow

from media_files import encode_picture
from mmmodal.modalities import image
from mmmodal.modalities.image import ImageLimits
from odd_pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    chunk,
    corners,
    png,
    quarters,
    read,
    refusal,
    tiff,
)


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


@pytest.mark.parametrize("block", [3, 4, 7, 64, 1000])
def test_segments_of_a_jpeg_are_the_same_in_blocks_of_any_size(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(block)
    files = [encode_picture(quarters(), "JPEG", progressive=True) + b"\xff\xda\0\3\0" * 9]
    files += [bytes(chance.choices(b"\xff\xff\0\2\xd0\xda\xc4", k=300)) for _ in range(50)]
    expected = [[*image._jpeg_markers(io.BytesIO(data))] for data in files]
    monkeypatch.setattr(image, "JPEG_BLOCK", block)
    assert [[*image._jpeg_markers(io.BytesIO(data))] for data in files] == expected
    assert max(map(len, expected)) > 10


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
