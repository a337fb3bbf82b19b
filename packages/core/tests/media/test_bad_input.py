"""Every bad input is refused by its code, at under 64 MiB and 2 seconds; limits hold at N and N+1."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_files import encode_picture, encode_sound, write_clip
from mmmodal.media import Limits
from mmmodal.modalities.audio import AudioLimits
from mmmodal.modalities.image import ImageLimits
from worlds import picture

RATE = 16_000
MIB = 2**20
MOST_MEMORY, MOST_SECONDS = 64, 2.0  # MiB, and seconds of the processor


def image(form: str = "PNG", side: int = 64) -> bytes:
    return encode_picture(picture(0, (side, side)), form)


def clip(form: str = "WAV", subtype: str = "PCM_16", channels: int = 1, value: float = 0) -> bytes:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, channels))
    samples[1_000] += value
    return encode_sound(samples, form, subtype)


def wav(samples: int, rate: int = RATE, channels: int = 1) -> tuple[bytes, int]:
    """Return the header of a WAV of 16 bits, and how long the file is with its samples."""
    size = 2 * samples * channels
    fields = (16, 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    form = b"WAVEfmt " + struct.pack("<IHHIIHH", *fields) + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(form) + size) + form, len(form) + 8 + size


def grey_png(width: int, height: int) -> bytes:
    """Return a PNG of one bit a pixel, all black."""
    rows = zlib.compressobj(9)
    row = bytes((width + 7) // 8 + 1)
    packed = b"".join(rows.compress(row * 100) for _ in range(height // 100))
    packed += rows.compress(row * (height % 100)) + rows.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", packed)]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


def ten_hours_of_flac(length: int) -> bytes:
    """Return FLAC of silence, one frame over and over; `length` is what its header says."""
    data = encode_sound(np.zeros(3 * 4_096), "FLAC", "PCM_16")
    first = data.index(b"\xff\xf8")
    second = data.index(b"\xff\xf8", first + 1)
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | length
    header = data[:18] + fields.to_bytes(8, "big") + data[26:first]
    return header + data[first:second] * (10 * 3_600 * RATE // 4_096)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def mp4(*, moov: bytes) -> bytes:
    """Return an MP4 that is nothing but an index."""
    return box(b"ftyp", b"M4A \0\0\2\0isomiso2") + box(b"moov", moov)


def in_a_track(table: bytes) -> bytes:
    for kind in (b"stbl", b"minf", b"mdia", b"trak"):
        table = box(kind, table)
    return table


def cut(data: bytes, percent: int) -> bytes:
    return data[: len(data) * percent // 100]


def forged(data: bytes, place: int, value: bytes) -> bytes:
    return data[:place] + value + data[place + len(value) :]


# What each is, its kind, the code it is refused by, and what makes its bytes; a file name tells
# nothing, so all are called `input`.
BYTES: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    **{
        f"{form} image cut at {percent} %": (
            "image",
            "unreadable",
            lambda form=form, percent=percent: cut(image(form), percent),
        )
        for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
        for percent in (10, 50, 99)
    },
    **{
        f"{form} clip cut at {percent} %": (
            "audio",
            "unreadable",
            lambda form=form, subtype=subtype, percent=percent: cut(clip(form, subtype), percent),
        )
        for form, subtype in (
            ("WAV", "PCM_16"),
            ("FLAC", "PCM_16"),
            ("OGG", "VORBIS"),
            ("OGG", "OPUS"),
            ("MP3", "MPEG_LAYER_III"),
        )
        for percent in (10, 50, 99)
    },
    "zero bytes as an image": ("image", "empty", lambda: b""),
    "zero bytes as a clip": ("audio", "empty", lambda: b""),
    "a web page as an image": ("image", "format", lambda: b"<!DOCTYPE html><p>404"),
    "a web page as a clip": ("audio", "format", lambda: b"<!DOCTYPE html><p>404"),
    "a clip as an image": ("image", "format", clip),
    "an image as a clip": ("audio", "format", image),
    "noise as an image": ("image", "format", lambda: b"\x07" + image()[1:]),
    "noise as a clip": ("audio", "format", lambda: b"\x07" + clip()[1:]),
    "0 channels": ("audio", "unreadable", lambda: forged(clip(), 22, b"\0\0")),
    "9 channels": ("audio", "too-large", lambda: clip(channels=9)),
    "65535 channels": ("audio", "unreadable", lambda: forged(clip(), 22, b"\xff\xff")),
    "a sample that is not a number": (
        "audio",
        "not-finite",
        lambda: clip(subtype="FLOAT", value=np.nan),
    ),
    "an infinite sample": ("audio", "not-finite", lambda: clip(subtype="FLOAT", value=np.inf)),
    "a PNG that decodes to 868 MiB": ("image", "too-large", lambda: grey_png(15_087, 15_087)),
    "10 hours of FLAC": ("audio", "too-large", lambda: ten_hours_of_flac(10 * 3_600 * RATE)),
    "10 hours of FLAC of unknown length": ("audio", "too-large", lambda: ten_hours_of_flac(0)),
    "a rate of 8 Hz": ("audio", "format", lambda: forged(clip(), 24, b"\x08\0\0\0")),
    "a rate of 2 GHz": ("audio", "format", lambda: forged(clip(), 24, b"\xff\xff\xff\x7f")),
    "a rate of 655,350 Hz in FLAC": (
        "audio",
        "format",
        lambda: forged(clip("FLAC"), 18, (655_350 << 4).to_bytes(3, "big")),
    ),
    **{
        f"an MP4 of millions of boxes ({kind.decode()})": (
            "audio",
            "too-large",
            lambda kind=kind: mp4(moov=box(kind, b"") * 2**21),
        )
        for kind in (b"free", b"trak", b"udta")
    },
    "an MP4 of millions of steps": (
        "audio",
        "too-large",
        lambda: mp4(moov=in_a_track(box(b"stts", struct.pack(">II", 0, 2**21) + bytes(2**24)))),
    ),
    "an MP4 of tables in other boxes": (
        "audio",
        "too-large",
        lambda: mp4(moov=box(b"abcd", (b"trun" + bytes(16)) * 2**20)),
    ),
    "an MP4 of a table's name over and over": (
        "audio",
        "too-large",
        lambda: mp4(moov=box(b"abcd", b"stsz" * 2**22)),
    ),
    "a side of 16,385": ("image", "too-large", lambda: grey_png(16_385, 1)),
    "50,000,001 pixels": ("image", "too-large", lambda: grey_png(3_561, 14_041)),
}

# What needs more than bytes: the code, and what puts it into a folder.
PATHS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "a directory": ("image", "not-a-file", lambda path: path.mkdir()),
    "a missing file": ("audio", "missing", lambda path: None),
    "a FIFO": ("audio", "not-a-file", os.mkfifo),
    "a device": ("image", "not-a-file", lambda path: path.symlink_to("/dev/zero")),
    "a file of 512 MiB and a byte": (
        "audio",
        "too-large",
        lambda path: sparse(path, b"RIFF", 512 * MIB + 1),
    ),
    "an MP3 with 500 MB behind it": (
        "audio",
        "too-large",
        lambda path: sparse(path, clip("MP3", "MPEG_LAYER_III"), 500 * MIB),
    ),
    "AAC with 500 MB behind it": (
        "audio",
        "unreadable",
        lambda path: sparse(path, write_clip(np.zeros(RATE, np.float32), "adts-aac"), 500 * MIB),
    ),
    "600 s and a sample": (
        "audio",
        "too-large",
        lambda path: sparse(path, *wav(600 * 8_000 + 1, 8_000)),
    ),
    "256 MiB and a sample": (
        "audio",
        "too-large",
        lambda path: sparse(path, *wav(64 * MIB + 1, 384_000)),
    ),
}

GOOD: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "1 x 1 image": ("image", lambda path: path.write_bytes(grey_png(1, 1))),
    "a side of 16,384": ("image", lambda path: path.write_bytes(grey_png(16_384, 1))),
    "50,000,000 pixels": ("image", lambda path: path.write_bytes(grey_png(8_000, 6_250))),
    "JPEG with a film behind it": ("image", lambda path: sparse(path, image("JPEG"), 500 * MIB)),
    "WebP with 500 MB behind it": ("image", lambda path: sparse(path, image("WEBP"), 500 * MIB)),
    "8 channels": ("audio", lambda path: path.write_bytes(clip(channels=8))),
    "600 s": ("audio", lambda path: sparse(path, *wav(600 * 8_000, 8_000))),
    "10 minutes of stereo in 105 MB": (
        "audio",
        lambda path: sparse(path, *wav(600 * 44_100, 44_100, 2)),
    ),
    "JPEG that is called .png": ("image", lambda path: path.write_bytes(image("JPEG"))),
    "FLAC that is called .png": ("audio", lambda path: path.write_bytes(clip("FLAC"))),
}


def sparse(path: Path, head: bytes, size: int) -> None:
    """Write `head` and zeros, which take no room on the disk."""
    path.write_bytes(head)
    os.truncate(path, size)


READING = """
import json, re, sys, time
from pathlib import Path
from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.audio import Audio
from mmmodal.modalities.image import Image

def memory(name):  # KiB
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

KINDS = {"image": Image(), "audio": Audio()}
for number, (kind, path) in enumerate(json.load(sys.stdin)):
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = memory("VmRSS"), time.process_time()
    try:
        item = read_media(KINDS[kind], path, root=None)
        outcome = "read", str(getattr(item, "size", None) or len(item.samples))
        del item
    except MediaError as error:
        outcome = error.code, str(error)
    seconds = time.process_time() - start
    print(json.dumps([*outcome, (memory("VmHWM") - before) // 1024, seconds]))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, int, float]]:
    """What came of reading each input, its words, and what it took in MiB and seconds."""
    root = tmp_path_factory.mktemp("inputs")
    names = {"an image to begin with": "image", "a clip to begin with": "audio"}
    (root / "0").write_bytes(image())
    (root / "1").write_bytes(clip("MP3", "MPEG_LAYER_III"))
    for name, (kind, _, make) in BYTES.items():
        (root / str(len(names))).write_bytes(make())
        names[name] = kind
    for name, (kind, *_, put) in [*PATHS.items(), *GOOD.items()]:
        put(root / str(len(names)))
        names[name] = kind
    jobs = [(kind, str(root / str(number))) for number, kind in enumerate(names.values())]
    run = subprocess.run(
        [sys.executable, "-c", READING],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == "", "nothing is said but by the error"
    return dict(zip(names, map(json.loads, run.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", [*BYTES, *PATHS])
def test_bad_input_is_refused_by_its_code_and_cheaply(
    name: str, outcomes: dict[str, tuple[str, str, int, float]]
) -> None:
    expected = (BYTES.get(name) or PATHS[name])[1]
    code, words, memory, seconds = outcomes[name]
    assert code == expected, words
    assert words.isprintable()
    assert "; " in words, "it says what to do"
    assert not any(word in words for word in ("0x", "Errno", "avcodec", "broken data stream"))
    assert memory < MOST_MEMORY
    assert seconds < MOST_SECONDS


@pytest.mark.parametrize("name", GOOD)
def test_input_at_a_limit_is_read(
    name: str, outcomes: dict[str, tuple[str, str, int, float]]
) -> None:
    code, words, *_ = outcomes[name]
    assert code == "read", words


@pytest.mark.parametrize("name", ["JPEG with a film behind it", "WebP with 500 MB behind it"])
def test_what_lies_behind_a_picture_costs_nothing(
    name: str, outcomes: dict[str, tuple[str, str, int, float]]
) -> None:
    _, words, memory, seconds = outcomes[name]
    assert words == "(64, 64)"
    assert memory < MOST_MEMORY
    assert seconds < MOST_SECONDS


def test_ten_minutes_of_stereo_are_whole(
    outcomes: dict[str, tuple[str, str, int, float]],
) -> None:
    assert outcomes["10 minutes of stereo in 105 MB"][1] == str(600 * 44_100)


def test_measurement_sees_what_takes_memory(
    outcomes: dict[str, tuple[str, str, int, float]],
) -> None:
    assert outcomes["10 minutes of stereo in 105 MB"][2] > MOST_MEMORY


def test_limits_are_those_that_are_promised() -> None:
    general = {
        "file_bytes": 512 * MIB,
        "inline_bytes": 32 * MIB,
        "decoded_bytes": 256 * MIB,
    }
    assert Limits() == Limits(**general)
    assert ImageLimits() == ImageLimits(**general, pixels=50_000_000, side=16_384)
    assert AudioLimits() == AudioLimits(**general, seconds=600, channels=8)
