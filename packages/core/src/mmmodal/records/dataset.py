"""Read records from data files: all in order, or one by its index without the others."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.detection import find_format, formats, read_row, unused_keys
from mmmodal.records.files import open_rows
from mmmodal.records.json_text import printable
from mmmodal.records.paths import RootMaps
from mmmodal.records.rows import Row, RowSource

__all__ = ["OnError", "RecordDataset", "RecordReader", "Scanned", "read_records", "scan"]

OnError = Literal["raise"] | Callable[[RecordError], None]
"""The handling of a bad row: raise the error, or pass it to a function and leave out the row."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """One record of a row, or the error of the row."""

    row: Row
    record: Record | None = None
    part: int = 0
    """The index of the record among those of its row."""

    format: str = ""
    error: RecordError | None = None
    unused: tuple[str, ...] = ()
    """The keys of the row that are not read, but kept in `meta`."""


class RecordReader:
    """Read the rows of one file as records."""

    def __init__(
        self,
        source: RowSource,
        *,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
    ) -> None:
        self.source = source
        self._format = find_format(format) if isinstance(format, str) else format
        self._maps = RootMaps(root_maps)

    def read(
        self, values: dict[str, Any], where: str, number: int, known: str | None = None
    ) -> tuple[str, list[Record]]:
        """Return the format of a row and its records, with media paths mapped.

        Args:
            values: the values of the row.
            where: the position of the row, for errors.
            number: the line of the row.
            known: the format, if it was detected before.
        """
        place = Place(where, f"{printable(self.source.path.stem)}-{number}")
        chosen = self._format or (find_format(known) if known else None)
        found, records = read_row(values, place, chosen)
        return found.name, [self._maps.apply(record) for record in records]

    def at(
        self, position: tuple[int, int], number: int, format: str, part: int
    ) -> tuple[str, Record]:
        """Return the position of a record for errors, and the record that was found there before.

        Raises:
            RecordError: the file changed since then.
        """
        where = self.source.where(number)
        _, records = self.read(self.source.read(position, where), where, number, format)
        if part >= len(records):
            raise RecordError(where, "the file changed while it was in use; start again")
        return where, records[part]

    def scan(self) -> Iterator[Scanned]:
        """Yield every record, and every bad row as its error."""
        for row in self.source:
            try:
                values = row.read()
                name, records = self.read(values, row.where, row.number)
            except RecordError as error:
                yield Scanned(row, error=error)
                continue
            unused = unused_keys(values, self._format or find_format(name))
            for part, record in enumerate(records):
                yield Scanned(row, record, part, name, unused=unused)


def scan(
    path: str | Path, *, format: str | Format | None = None, root_maps: Sequence[str] = ()
) -> Iterator[Scanned]:
    """Yield every record of a file, and every bad row as its error, with the row."""
    return RecordReader(open_rows(path), format=format, root_maps=root_maps).scan()


def read_records(
    path: str | Path,
    *,
    format: str | Format | None = None,
    root_maps: Sequence[str] = (),
    on_error: OnError = "raise",
) -> Iterator[tuple[str, Record]]:
    """Yield (where, record) in the file's order, reading the file in pieces.

    Args:
        path: JSON lines, a JSON list, Parquet or a folder saved by `datasets`.
        format: the format of all rows, or its name; by default it is detected for each.
        root_maps: `OLD=NEW` beginnings of media paths.
        on_error: "raise", or a function that gets the error of each bad row, which is left out.

    Raises:
        RecordError: a row is bad, or the file cannot be read.
    """
    for item in scan(path, format=format, root_maps=root_maps):
        if item.error is not None:
            _handle(item.error, on_error)
        elif item.record is not None:
            yield item.row.where, item.record


def _handle(error: RecordError, on_error: OnError) -> None:
    if on_error == "raise":
        raise error
    on_error(error)


FIELDS = 5  # numbers that are kept for each record


class RecordDataset:
    """The records of a file by index, as PyTorch's data loader requires.

    The constructor reads the file once, so that bad rows are found before training; only the
    positions of records are kept. The dataset can be sent to worker processes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        root: str | Path | None = None,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
        on_error: OnError = "raise",
    ) -> None:
        self.path = Path(path)
        self.root = self.path.parent if root is None else Path(root)
        """The folder of relative media paths."""

        self.skipped = 0
        """The number of bad rows, which are left out."""

        self._reader = RecordReader(open_rows(path), format=format, root_maps=root_maps)
        # Five integers for each record: its row's position (two), number and format, and its index.
        self._index = array("q")
        self._formats = sorted(formats())
        for item in self._reader.scan():
            if item.error is not None:
                _handle(item.error, on_error)
                self.skipped += 1
            else:
                form = self._formats.index(item.format)
                self._index.extend((*item.row.position, item.row.number, form, item.part))

    def __len__(self) -> int:
        return len(self._index) // FIELDS

    def __getitem__(self, index: SupportsIndex) -> tuple[str, Record]:
        """Return the position of a record, and the record.

        Raises:
            IndexError: there is no such record.
            RecordError: the file changed since it was opened.
        """
        number = operator.index(index)
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        begin = FIELDS * place
        first, second, line, form, part = self._index[begin : begin + FIELDS]
        return self._reader.at((first, second), line, self._formats[form], part)
