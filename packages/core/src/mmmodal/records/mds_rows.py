"""Rows of MDS shards, the format of MosaicML's `streaming`.

A shard holds, as unsigned 32-bit integers: its number of samples and the position of each and of
its end; then a JSON object with its columns; then the samples. A sample holds the sizes of its
columns of variable size, then the values. The library itself needs an older transformers.

The format: https://docs.mosaicml.com/projects/streaming/en/stable/preparing_datasets/dataset_format.html
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mmmodal.errors import RecordError
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.mds_values import decoder
from mmmodal.records.rows import Row, RowSource, Span, system_errors

__all__ = ["MdsRows"]

WORD = struct.Struct("<I")
BATCH = 1024  # samples whose positions are read at once


class Column(NamedTuple):
    """A column of a shard."""

    name: str
    encoding: str
    size: int | None
    """The number of bytes of each value; None if values differ."""


class MdsRows(RowSource):
    """An MDS shard, read by position."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with system_errors(printable(path)), path.open("rb") as file:
            self._total, self._columns = self._read_head(file, path.stat().st_size)

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal numbers of rows."""
        number = max(1, min(number, self._total))
        return list(pairwise(self._total * place // number for place in range(number + 1)))

    def within(self, span: Span) -> Iterator[Row]:
        """Yield some rows."""
        end = span[1] if span[1] >= 0 else self._total
        with system_errors(printable(self.path)), self.path.open("rb") as file:
            for first in range(span[0], end, BATCH):
                edges = self._edges(file, first, min(end, first + BATCH))
                for index, (begin, stop) in enumerate(pairwise(edges), start=first):
                    where = self.where(index + 1)
                    file.seek(begin)
                    read = functools.partial(self._values, file.read(stop - begin), where)
                    yield Row(where, index + 1, (index, 0), (index + 1) / self._total, read)

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return a row by its index."""
        index, _ = position
        with system_errors(printable(self.path)), self.path.open("rb") as file:
            begin, end = self._edges(file, index, index + 1)
            file.seek(begin)
            return self._values(file.read(end - begin), where)

    def _read_head(self, file: BinaryIO, size: int) -> tuple[int, list[Column]]:
        """Return the number of samples and the columns, after checking them against the file."""
        if size < 2 * WORD.size:
            raise self._damaged("it has no header")
        (total,) = WORD.unpack(file.read(WORD.size))
        begin = WORD.size * (total + 2)
        if begin > size:
            raise self._damaged("its positions are cut off")
        first, last = self._edges(file, 0, 0)[0], self._edges(file, total, total)[0]
        if not begin <= first <= last or last != size:
            raise self._damaged(f"it has {size:,} bytes, and its header says {last:,}")
        file.seek(begin)
        return total, _columns(
            parse_json(file.read(first - begin), printable(self.path)), self.path
        )

    def _edges(self, file: BinaryIO, first: int, end: int) -> Sequence[int]:
        """Return the positions of samples, and of the end of the last."""
        file.seek(WORD.size * (1 + first))
        number = end - first + 1
        data = file.read(WORD.size * number)
        if len(data) != WORD.size * number:
            raise self._damaged("its positions are cut off")
        return struct.unpack(f"<{number}I", data)

    def _values(self, sample: bytes, where: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        try:
            sizes = _sizes(sample, self._columns)
            begin = WORD.size * sum(column.size is None for column in self._columns)
            for column, size in zip(self._columns, sizes, strict=True):
                data = sample[begin : begin + size]
                if len(data) != size:
                    raise ValueError("too short")
                decode = decoder(column.encoding, f"{where} {printable(column.name)}")
                values[column.name] = decode(data)
                begin += size
            if begin != len(sample):
                raise ValueError("too long")
        except (ValueError, struct.error, IndexError, ArithmeticError) as error:
            if isinstance(error, RecordError):
                raise
            reason = f"the row is damaged ({type(error).__name__}); write the shard again"
            raise RecordError(where, reason) from None
        return values

    def _damaged(self, what: str) -> RecordError:
        reason = f"it is no MDS shard, or damaged or cut off ({what}); copy it again"
        return RecordError(printable(self.path), reason)


def _sizes(sample: bytes, columns: Sequence[Column]) -> list[int]:
    """Return the number of bytes of each value of a sample."""
    number = sum(column.size is None for column in columns)
    given = iter(struct.unpack_from(f"<{number}I", sample))
    return [next(given) if column.size is None else column.size for column in columns]


def _columns(head: Any, path: Path) -> list[Column]:
    """Return the columns that a header describes.

    Raises:
        RecordError: it is not complete, or the values of a column cannot be read.
    """
    where = printable(path)
    try:
        described = zip(
            head["column_names"], head["column_encodings"], head["column_sizes"], strict=True
        )
        columns = [Column(str(n), str(e), None if s is None else int(s)) for n, e, s in described]
    except (KeyError, TypeError, ValueError):
        reason = "its header does not describe its columns; write the shard again"
        raise RecordError(where, reason) from None
    for column in columns:
        decoder(column.encoding, f"{where}: column {printable(column.name)}")
    return columns
