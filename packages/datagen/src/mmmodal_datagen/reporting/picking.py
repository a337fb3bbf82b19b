"""Rows out of finished shards: a few that lie far apart, or enough of them to measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet

from mmmodal_datagen.contracts import Row, ShardFile
from mmmodal_datagen.running.tables import rows_of

__all__ = ["cells_of", "spread_rows"]


def spread_rows(sources: Sequence[Sequence[ShardFile]], number: int) -> list[Row]:
    """Return rows of every source, evenly spread over each; always the same ones.

    Args:
        sources: the files of each source; each gets an equal share where it has so many rows.
        number: of rows in all.
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
    """Yield the named columns of up to `most` rows, in groups that are spread over all files."""
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
    """Share a number out as evenly as the sizes allow."""
    shares = [0] * len(sizes)
    while number and (open_ := [n for n, size in enumerate(sizes) if shares[n] < size]):
        for index in open_[:number]:
            shares[index] += 1
        number -= len(open_[:number])
    return shares


def _at(files: Sequence[ShardFile], places: Sequence[int]) -> Iterator[Row]:
    """Yield the rows at these places of the files one after the other."""
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
