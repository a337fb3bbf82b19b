"""The inputs of `bench/data.py`: the same records in every kind of file, with and without media."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile
from PIL import Image

RATE = 16_000  # Hz


@dataclass(frozen=True)
class Shape:
    """The sizes of the data."""

    media: int = 1200
    """Records with a medium each, of which every second is a picture."""

    texts: int = 20_000
    """Records without media."""

    pixels: tuple[int, int] = (640, 480)
    seconds: float = 5.0
    shards: int = 4
    runs: int = 5
    lengths: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """The numbers of records of which the start is measured."""

    steps: int = 40


QUICK = Shape(24, 200, (64, 48), 0.5, 2, 1, (500,), 4)


def picture(chance: random.Random, shape: Shape) -> bytes:
    """Return a JPEG with coarse noise, of about the bytes of a photo of its size."""
    width, height = shape.pixels
    size = (width // 4, height // 4)
    pixels = Image.frombytes("RGB", size, chance.randbytes(3 * size[0] * size[1]))
    file = io.BytesIO()
    pixels.resize(shape.pixels, Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


def clip(chance: random.Random, shape: Shape) -> bytes:
    """Return a FLAC of a tone with noise."""
    number = round(shape.seconds * RATE)
    noise = np.random.default_rng(chance.randrange(2**32)).normal(0, 0.01, number)
    tone = 0.3 * np.sin(2 * np.pi * chance.randint(100, 2000) * np.arange(number) / RATE)
    file = io.BytesIO()
    soundfile.write(file, tone + noise, RATE, format="FLAC")
    return file.getvalue()


def conversation(number: int, kind: str = "") -> dict[str, Any]:
    """Return a record of our own format, about a medium if `kind` is given."""
    asked: list[dict[str, Any]] = [{"type": "text", "text": f"What is number {number}?"}]
    answer = f"It is {number}. " + "It has a name. " * (number % 9)
    messages = [
        {"role": "user", "content": ([{"type": kind, "media": 0}] if kind else []) + asked},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]
    return {"id": f"{number:07}", "messages": messages, "media": []}


def write_texts(path: Path, number: int) -> None:
    """Write conversations of a question and an answer, without media."""
    with path.open("w", encoding="utf-8") as file:
        for index in range(number):
            file.write(json.dumps(conversation(index)) + "\n")


def write_files(path: Path, shape: Shape) -> None:
    """Write conversations about a picture or a clip, which are files beside them."""
    chance = random.Random(0)
    (path.parent / "media").mkdir(parents=True)
    with path.open("w", encoding="utf-8") as file:
        for number in range(shape.media):
            kind, suffix, make = (
                ("audio", "flac", clip) if number % 2 else ("image", "jpg", picture)
            )
            uri = f"media/{number}.{suffix}"
            (path.parent / uri).write_bytes(make(chance, shape))
            row = conversation(number, kind) | {"media": [{"kind": kind, "uri": uri}]}
            file.write(json.dumps(row) + "\n")


def write_embedded(source: Path, shards: int) -> None:
    """Write the records of JSON lines as one Parquet file and as tar shards, with their media."""
    from mmmodal.contracts.record import Record
    from mmmodal.records.dataset import read_records
    from mmmodal.records.writing import write_records

    records = [record for _, record in read_records(source)]
    settings: dict[str, Any] = {"media": "embed", "root": source.parent}
    write_records(iter(records), source.with_suffix(".parquet"), **settings)
    each = -(-len(records) // shards)

    def part(number: int) -> Iterator[Record]:
        return iter(records[number * each : (number + 1) * each])

    for number in range(shards):
        path = source.with_name(f"{source.stem}-{number:03}.tar")
        write_records(part(number), path, **settings)


def regrouped(source: Path, rows: int) -> Path:
    """Write a Parquet file again in groups of a number of rows, as `datasets` does; return it."""
    path = source.with_name(f"{source.stem}-{rows}.parquet")
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(source), path, row_group_size=rows)
    return path
