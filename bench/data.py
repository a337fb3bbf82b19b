"""Reading data of any size: rates against `datasets` and `webdataset`, starts, memory, waiting.

    python bench/data.py [--quick] [--only rates|starts|waiting] [--rows N …] [--json FILE]

The rates are of records and their decoded media in one process, each way alternately; the peers
read the same files and decode with Pillow and soundfile to the same pixels and samples, which is
checked before. They do not check their rows. `share` is our rate as a share of theirs; figures are
medians, in processor time.

A start lasts from opening data until the first pack, in a process of its own: the first has no
caches, the second finds index and lengths, the third the run's own lengths. Memory is that of the
whole process, and what it holds more than after all imports.

Waiting is the share of a training's time in which it had no batch, with two workers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile
import webdataset
from data_inputs import QUICK, Shape, regrouped, write_embedded, write_files, write_texts
from data_runs import start, starts, waiting
from PIL import Image, ImageOps
from racing import Result, race, show, write

WINDOW = 256
"""The number of records that streams are shuffled in."""

GROUP = 100
"""The rows of a group in files that `datasets` writes."""

Way = Callable[[], Iterator[Any]]
"""A function that yields the media of all records, or the records."""


def decoded(data: bytes | str, kind: str) -> Any:
    """Return the pixels or samples of a medium, as a user of the peers would."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    if kind == "audio":  # its channels mixed
        return soundfile.read(file, dtype="float32", always_2d=True)[0].mean(axis=1)
    with Image.open(file) as image:  # upright, as `datasets` decodes it
        image.load()
        return (ImageOps.exif_transpose(image) if image.getexif() else image).convert("RGB")


def ours(records: Iterable[tuple[str, Any]], root: Path) -> Iterator[Any]:
    """Yield the decoded media of records, or the records without any."""
    from mmmodal.media.reading import read_media
    from mmmodal.parts import modality_of

    modalities = {kind: modality_of(kind) for kind in ("image", "audio")}
    limits = {kind: modality.Limits() for kind, modality in modalities.items()}
    for _, record in records:
        for ref in record.media:
            known: Any = {"root": root, "limits": limits[ref.kind]}
            item = read_media(modalities[ref.kind], ref.address, **known)
            yield item if ref.kind == "image" else item.samples
        if not record.media:
            yield record


def order(number: int, shuffled: bool) -> list[int]:
    """Return the numbers of records in the order of reading."""
    numbers = list(range(number))
    if shuffled:
        random.Random(0).shuffle(numbers)
    return numbers


def our_rows(path: Path | list[Path], shuffled: bool = False) -> Way:
    """Return a reader of indexed records."""
    from mmmodal.records.dataset import RecordDataset

    paths = path if isinstance(path, list) else [path]
    dataset, root = RecordDataset(paths), paths[0].parent
    return lambda: ours((dataset[n] for n in order(len(dataset), shuffled)), root)


def our_stream(paths: list[Path]) -> Way:
    """Return a reader of streamed records, shuffled in a window, for one epoch."""
    from mmmodal.records.stream import RecordStream
    from mmmodal.samples.streaming.packs import LanePacks
    from mmmodal.samples.streaming.streams import Lane, Sequel, ShardStream

    stream = RecordStream(paths)

    def records() -> Iterator[tuple[str, Any]]:
        shards = ShardStream(Sequel(len(stream.shards), 0), stream.rows, Lane(0, 1))
        packs = LanePacks([shards], [1.0], lambda place: 1, window=WINDOW, capacity=None, seed=0)
        for pack in packs.after(packs.begin()):
            yield from (stream.record(place) for place in pack.records if isinstance(place, tuple))
            if pack.after.positions[0][0]:  # the next epoch
                return

    return lambda: ours(records(), paths[0].parent)


def their_rows(path: Path, shuffled: bool = False) -> Way:
    """Return a reader by `datasets`, which has converted the file to Arrow before."""
    kind = "json" if path.suffix == ".jsonl" else "parquet"
    cache = str(path.parent / "cache")
    dataset: Any = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=cache)
    for name, feature in dataset.features.items():
        held = getattr(feature, "feature", feature)
        if isinstance(held, datasets.Image | datasets.Audio):
            plain = type(held)(decode=False)
            dataset = dataset.cast_column(name, datasets.List(plain) if feature != held else plain)

    def read() -> Iterator[Any]:
        for number in order(len(dataset), shuffled):
            row = dataset[number]
            for each in row["media"]:
                held = row.get(f"{each['kind']}s")
                data = held[0]["bytes"] if held else str(path.parent / each["uri"])
                yield decoded(data, each["kind"])
            if not row["media"]:
                yield row

    return read


def their_tars(paths: list[Path], window: int = 0) -> Way:
    """Return a reader by `webdataset`."""

    def read() -> Iterator[Any]:
        settings: Any = {"shardshuffle": len(paths) if window else False, "empty_check": False}
        pipeline: Any = webdataset.WebDataset([str(path) for path in paths], **settings)
        for sample in pipeline.shuffle(window) if window else pipeline:
            row = json.loads(sample["json"])
            for ref in row["media"]:
                ending = ref["uri"].partition(".")[2]
                yield decoded(sample[ending], ref["kind"])
            if not row["media"]:
                yield row

    return read


def check_same(name: str, one: Way, other: Way, in_order: bool) -> None:
    """Check that both ways read the same media, or as many records."""
    lists = [list(way()) for way in (one, other)]
    if len(lists[0]) != len(lists[1]):
        raise SystemExit(f"{name}: {len(lists[0])} and {len(lists[1])} items")
    if in_order and not isinstance(lists[1][0], dict):
        for first, second in zip(*lists, strict=True):
            if not np.array_equal(np.asarray(first), np.asarray(second)):
                raise SystemExit(f"{name}: the media differ")


def raced(name: str, one: Way, other: Way, runs: int, in_order: bool = True) -> dict[str, float]:
    """Return items per second of both ways, and our rate as a share of theirs."""
    check_same(name, one, other, in_order)
    ways = {"ours": lambda: sum(1 for _ in one()), "theirs": lambda: sum(1 for _ in other())}
    figures = race(ways, runs, items=ways["ours"]())
    figures["share"] = figures.pop("theirs_ratio")
    return figures


def rates(folder: Path, shape: Shape) -> Iterator[tuple[str, Result]]:
    """Yield the rates of every kind of file, with media and without."""
    for title in ("media", "texts"):
        path = folder / title / "rows.jsonl"
        path.parent.mkdir()
        if title == "media":
            write_files(path, shape)
        else:
            write_texts(path, shape.texts)
        write_embedded(path, shape.shards)
        tars, parquet = sorted(path.parent.glob("*.tar")), path.with_suffix(".parquet")
        grouped = regrouped(parquet, GROUP)
        pairs: dict[str, tuple[Way, Way]] = {
            "JSON lines": (our_rows(path), their_rows(path)),
            "JSON lines, shuffled": (our_rows(path, True), their_rows(path, True)),
            "Parquet": (our_rows(parquet), their_rows(parquet)),
            "Parquet, shuffled": (our_rows(parquet, True), their_rows(parquet, True)),
            f"… groups of {GROUP}": (our_rows(grouped, True), their_rows(grouped, True)),
            "tar": (our_rows(tars), their_tars(tars)),
            "tar, streamed": (our_stream(tars), their_tars(tars, WINDOW)),
        }
        yield (
            f"{title} a second",
            {
                name: raced(name, *ways, shape.runs, name != "tar, streamed")
                for name, ways in pairs.items()
            },
        )


PARTS: dict[str, Callable[[Path, Shape], Iterator[tuple[str, Result]]]] = {
    "rates": rates,
    "starts": starts,
    "waiting": waiting,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few small records and one run")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--rows", type=int, nargs="+", help="the records of the starts")
    parser.add_argument("--json", type=Path, default=Path("build/bench/data.json"))
    for name in ("start", "model", "run"):
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.start:
        print(json.dumps(start(given.start, given.model, given.run)))
        return
    shape = QUICK if given.quick else Shape()
    if given.rows:
        shape = replace(shape, lengths=tuple(given.rows))
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["MMMODAL_CACHE"] = str(Path(name, "cache"))
        for part in [given.only] if given.only else PARTS:
            for title, rows in PARTS[part](Path(name), shape):
                show(title, rows)
                results[title] = rows
                write(given.json, results)


if __name__ == "__main__":
    main()
