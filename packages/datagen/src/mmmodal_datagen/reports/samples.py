"""Rows of finished shards for a report: a few to show, and counts over many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet

from mmmodal_datagen.contracts import Row, ShardFile
from mmmodal_datagen.rows.tables import rows_of
from mmmodal_datagen.texts.words import count_words

__all__ = ["COLUMNS", "Measured", "cells_of", "measure", "spread_rows"]

COLUMNS = ("kind", "turns", "media", "relation")


def spread_rows(sources: Sequence[Sequence[ShardFile]], number: int) -> list[Row]:
    """Return rows of every source, evenly spread over each; equal files give equal rows.

    Args:
        sources: the files of each source; sources have equal shares, as far as they have rows.
        number: of all rows.
    """
    sizes = [sum(file.rows for file in files) for files in sources]
    return [
        row
        for files, size, share in zip(sources, sizes, _shares(sizes, number), strict=True)
        for row in _at(files, np.linspace(0, max(size - 1, 0), share).round().astype(int).tolist())
    ]


def cells_of(
    files: Sequence[ShardFile], columns: Sequence[str], most: int
) -> Iterator[dict[str, Any]]:
    """Yield the named columns of about `most` rows, in row groups spread over all files."""
    groups: list[tuple[ShardFile, int, int]] = []
    for file in files:
        with pyarrow.parquet.ParquetFile(file.path) as opened:
            sizes = [opened.metadata.row_group(n).num_rows for n in range(opened.num_row_groups)]
        groups += [(file, number, size) for number, size in enumerate(sizes)]
    total = sum(size for *_, size in groups)
    every = max(1, -(-total // most))
    for file, number, _ in groups[::every]:
        with pyarrow.parquet.ParquetFile(file.path) as opened:
            yield from opened.read_row_group(number, columns=list(columns)).to_pylist()


def _shares(sizes: Sequence[int], number: int) -> list[int]:
    """Return the shares of a number, as even as the sizes allow."""
    shares = [0] * len(sizes)
    while number and (open_ := [n for n, size in enumerate(sizes) if shares[n] < size]):
        for index in open_[:number]:
            shares[index] += 1
        number -= len(open_[:number])
    return shares


def _at(files: Sequence[ShardFile], places: Sequence[int]) -> Iterator[Row]:
    """Yield the rows at these places, counted over all files."""
    begin = 0
    for file in files:
        wanted = [place - begin for place in places if 0 <= place - begin < file.rows]
        begin += file.rows
        with pyarrow.parquet.ParquetFile(file.path) as opened:
            first = 0
            for number in range(opened.num_row_groups if wanted else 0):
                size = opened.metadata.row_group(number).num_rows
                here = [place - first for place in wanted if 0 <= place - first < size]
                first += size
                if here:
                    yield from rows_of(opened.read_row_group(number).take(here))


@dataclass
class Measured:
    """Counts over rows; lengths are one number for each row or turn."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    """Rows by the languages of their texts: `en`, `ms`, `en + ms`."""

    relations: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    """Rows by the number of media of each kind: `2 image, 1 audio`."""

    turns: list[int] = field(default_factory=list)
    """Turns of each row, questions and answers together."""

    questions: list[int] = field(default_factory=list)
    """Words of each turn of the user."""

    answers: list[int] = field(default_factory=list)
    """Words of each turn of the assistant."""


def measure(rows: Iterable[Mapping[str, Any]]) -> Measured:
    """Return the counts over the columns of rows, as read from Parquet files."""
    found = Measured()
    for row in rows:
        found.rows += 1
        found.kinds[row["kind"]] += 1
        found.turns.append(len(row["turns"]))
        found.media[_media(row)] += 1
        if row["relation"]:
            found.relations[row["relation"]] += 1
        spoken = set()
        for turn in row["turns"]:
            texts = [piece for piece in turn["content"] if piece["text"] is not None]
            words = sum(count_words(piece["text"]) for piece in texts)
            if turn["role"] != "system":
                (found.questions if turn["role"] == "user" else found.answers).append(words)
            for piece in texts:
                spoken |= {piece["lang"] or _untold(piece)}
                spoken |= {"ms"} if piece["text_ms"] is not None else set()
        found.languages[" + ".join(sorted(spoken)) or "no text"] += 1
    return found


def _untold(piece: Mapping[str, Any]) -> str:
    # A text with Malay and no language was English, as everywhere in the pipeline.
    return "en" if piece["text_ms"] is not None else "not stated"


def _media(row: Mapping[str, Any]) -> str:
    counts = Counter(medium["kind"] for medium in row["media"])
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
