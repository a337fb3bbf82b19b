"""Read records from data files: all in order, or one by its index without the others."""

from __future__ import annotations

import bisect
import dataclasses
import operator
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.detection import find_format, formats, read_row, unused_keys
from mmmodal.records.files import open_rows
from mmmodal.records.json_text import printable
from mmmodal.records.paths import RootMaps
from mmmodal.records.rows import Row, RowSource
from mmmodal.records.shard import Shard, Shards
from mmmodal.records.shards import find_shards

__all__ = [
    "OnError",
    "RecordDataset",
    "RecordReader",
    "Scanned",
    "ShardReaders",
    "read_records",
    "scan",
]

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

    folder: Path = Path()
    """The folder of the file, in which its relative media paths begin by default."""


class RecordReader:
    """Read the rows of one file as records."""

    def __init__(
        self, source: RowSource, *, format: str | None = None, root_maps: Sequence[str] = ()
    ) -> None:
        self.source = source
        self._format = format
        self._maps = RootMaps(root_maps)
        if format is not None:
            find_format(format)

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
        name = self._format or known
        chosen = find_format(name) if name else None
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
        folder = self.source.path.parent
        for row in self.source:
            try:
                values = row.read()
                name, records = self.read(values, row.where, row.number)
            except RecordError as error:
                yield Scanned(row, error=error, folder=folder)
                continue
            unused = unused_keys(values, find_format(name))
            for part, record in enumerate(records):
                yield Scanned(row, record, part, name, unused=unused, folder=folder)


OPEN = 8
"""The number of shards that a process keeps open."""


class ShardReaders:
    """The readers of the shards of a data set, of which the most recent stay open."""

    def __init__(
        self, shards: Sequence[Shard], *, format: str | None = None, root_maps: Sequence[str] = ()
    ) -> None:
        self.shards = tuple(shards)
        self._options: dict[str, Any] = {"format": format, "root_maps": tuple(root_maps)}
        self._open: OrderedDict[int, RecordReader] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, number: int) -> RecordReader:
        """Return the reader of a shard, which is opened if it is not.

        Raises:
            RecordError: there is no such file, or it is of an unknown kind.
        """
        if number not in self._open:
            source = open_rows(self.shards[number].path())
            self._open[number] = RecordReader(source, **self._options)
            if len(self._open) > OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def scan(self) -> Iterator[tuple[int, Scanned]]:
        """Yield the shard of every record and every record, or bad row as its error."""
        for shard in range(len(self)):
            for item in self[shard].scan():
                done = (shard + item.row.done) / len(self)
                row = dataclasses.replace(item.row, done=done) if len(self) > 1 else item.row
                yield shard, dataclasses.replace(item, row=row)


def scan(
    path: str | Path | Shards, *, format: str | None = None, root_maps: Sequence[str] = ()
) -> Iterator[Scanned]:
    """Return an iterator of every record of a data set, and every bad row as its error.

    Raises:
        RecordError: there is no such data set; see `find_shards`.
    """
    found = path if isinstance(path, Shards) else find_shards(path)
    readers = ShardReaders(found.shards, format=format, root_maps=root_maps)
    readers[0]  # raises if it cannot be opened
    return (item for _, item in readers.scan())


def read_records(
    path: str | Path | Shards,
    *,
    format: str | None = None,
    root_maps: Sequence[str] = (),
    on_error: OnError = "raise",
) -> Iterator[tuple[str, Record]]:
    """Yield (where, record) in the files' order, reading each in pieces.

    Args:
        path: a file, a folder, a pattern or a data set of the Hub, as for `find_shards`, or what
            that returned.
        format: the format of all rows; by default it is detected for each.
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
    """The records of a data set by index, as PyTorch's data loader requires.

    The constructor reads its files once, so that bad rows are found before training; only the
    positions of records are kept. The dataset can be sent to worker processes.
    """

    def __init__(
        self,
        path: str | Path | Shards,
        *,
        root: str | Path | None = None,
        format: str | None = None,
        root_maps: Sequence[str] = (),
        on_error: OnError = "raise",
    ) -> None:
        found = path if isinstance(path, Shards) else find_shards(path)
        self.files = found.shards
        self._root = None if root is None else Path(root)
        self.root = self._root or self.files[0].path().parent
        """The folder of relative media paths; without a choice, that of the first file."""

        self.skipped = 0
        """The number of bad rows, which are left out."""

        self._readers = ShardReaders(found.shards, format=format, root_maps=root_maps)
        # Five integers for each record: its row's position (two), number and format, and its index.
        self._index = array("q")
        self._firsts: list[int] = []  # the first record of each file
        self._formats = sorted(formats())
        for shard, item in self._readers.scan():
            self._firsts.extend([len(self)] * (shard + 1 - len(self._firsts)))
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
        place = self._place(index)
        first, second, line, form, part = self._index[FIELDS * place : FIELDS * (place + 1)]
        return self._reader(place).at((first, second), line, self._formats[form], part)

    def root_of(self, index: SupportsIndex) -> Path:
        """Return the folder of a record's relative media paths."""
        return self._root or self._reader(self._place(index)).source.path.parent

    def _place(self, index: SupportsIndex) -> int:
        number = operator.index(index)
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        return place

    def _reader(self, place: int) -> RecordReader:
        return self._readers[bisect.bisect_right(self._firsts, place) - 1]
