"""The records of shards, read from any row on, without an index."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmmodal.contracts.format import Format
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordReader
from mmmodal.records.files import open_rows
from mmmodal.records.rows import Span

__all__ = ["RecordPlace", "RecordStream"]

OPEN = 8
"""The number of files that a process keeps open."""


class RecordPlace(NamedTuple):
    """Where a record is in a stream."""

    file: int
    position: tuple[int, int]
    """The position of its row, for `RowSource.read`."""

    number: int
    """The line or row in the file, counted from 1."""

    format: str
    part: int
    """The index of the record among those of its row."""


class RecordStream:
    """The records of files that are read in shards; the files are not read to open it."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        root: Path | None = None,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
        shards: int = 1,
    ) -> None:
        """Open files.

        Args:
            paths: the files.
            root: the folder of relative media paths; by default that of each file.
            format: the format of all rows, or its name; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
            shards: how many shards are wanted; large files are split to have as many.

        Raises:
            RecordError: a file does not exist, or is of an unknown kind.
        """
        self.paths = list(paths)
        self._root, self._format, self._root_maps = root, format, tuple(root_maps)
        self._readers: OrderedDict[int, RecordReader] = OrderedDict()
        each = -(-shards // max(1, len(self.paths)))
        self.shards: list[tuple[int, Span]] = [
            (file, span)
            for file in range(len(self.paths))
            for span in self._reader(file).source.spans(each)
        ]
        """The file of every shard, and the part of it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict()}

    def rows(self, shard: int, first: int) -> Iterator[list[RecordPlace | RecordError]]:
        """Yield the records of each row of a shard, or the error of a bad row, from a row on."""
        file, span = self.shards[shard]
        reader = self._reader(file)
        for count, row in enumerate(reader.source.within(span)):
            if count < first:
                continue
            try:
                name, records = reader.read(row.read(), row.where, row.number)
            except RecordError as error:
                yield [error]
                continue
            yield [
                RecordPlace(file, row.position, row.number, name, part)
                for part in range(len(records))
            ]

    def record(self, place: RecordPlace) -> tuple[str, Record]:
        """Return the position of a record for errors, and the record.

        Raises:
            RecordError: the file changed since it was opened.
        """
        reader = self._reader(place.file)
        return reader.at(place.position, place.number, place.format, place.part)

    def root(self, place: RecordPlace) -> Path:
        """Return the folder of a record's relative media paths."""
        return self._root or self.paths[place.file].parent

    def _reader(self, file: int) -> RecordReader:
        if file not in self._readers:
            source = open_rows(self.paths[file])
            reader = RecordReader(source, format=self._format, root_maps=self._root_maps)
            self._readers[file] = reader
            if len(self._readers) > OPEN:
                self._readers.popitem(last=False)
        self._readers.move_to_end(file)
        return self._readers[file]
