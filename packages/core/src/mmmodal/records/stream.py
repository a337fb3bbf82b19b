"""The records of shards, read from any row on, without an index."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordReader
from mmmodal.records.files import open_rows
from mmmodal.records.rows import Row, Span

__all__ = ["RecordPlace", "RecordStream"]

SPARE = 4
"""The shards of large files for each reader, so that neighbours change with the epoch."""

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


class Shard(NamedTuple):
    """A part of a file that is read in one go."""

    file: int
    span: Span
    begin: int = 0
    step: int = 1
    """The rows are every `step`th of the span, from that of index `begin` on."""


class RecordStream:
    """The records of files that are read in shards; the files are not read to open it."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        root: Path | None = None,
        format: str | None = None,
        root_maps: Sequence[str] = (),
        readers: int = 1,
    ) -> None:
        """Open files.

        Args:
            paths: the files.
            root: the folder of relative media paths; by default that of each file.
            format: the format of all rows; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
            readers: the number of lanes that read at the same time. Large files are split for
                them; where there are still fewer shards than lanes, these share the rows of each.

        Raises:
            RecordError: a file does not exist, or is of an unknown kind.
        """
        self.paths = list(paths)
        self._root, self._format, self._root_maps = root, format, tuple(root_maps)
        self._readers: OrderedDict[int, RecordReader] = OrderedDict()
        self.shards = self._split(readers)
        """The shards, each of which one lane reads in an epoch."""

    def __bool__(self) -> bool:
        """Whether there are rows, which may be bad."""
        return any(rows for shard in range(len(self.shards)) for rows in self.rows(shard, 0))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict()}

    def rows(self, shard: int, first: int) -> Iterator[list[RecordPlace | RecordError]]:
        """Yield the records of each row of a shard, or the error of a bad row, from a row on."""
        file, span, begin, step = self.shards[shard]
        try:
            reader = self._reader(file)
            for row in islice(reader.source.within(span), begin + first * step, None, step):
                yield _places(file, reader, row)
        except RecordError as error:  # of the file, which is damaged from here on
            if begin == 0:  # lanes that share the span meet it, too
                yield [error]

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

    def _split(self, readers: int) -> list[Shard]:
        each = -(-SPARE * readers // max(1, len(self.paths)))
        spans = [
            (file, span)
            for file in range(len(self.paths))
            for span in self._reader(file).source.spans(each)
        ]
        step = -(-readers // max(1, len(spans)))
        return [Shard(file, span, begin, step) for file, span in spans for begin in range(step)]

    def _reader(self, file: int) -> RecordReader:
        if file not in self._readers:
            source = open_rows(self.paths[file])
            reader = RecordReader(source, format=self._format, root_maps=self._root_maps)
            self._readers[file] = reader
            if len(self._readers) > OPEN:
                self._readers.popitem(last=False)
        self._readers.move_to_end(file)
        return self._readers[file]


def _places(file: int, reader: RecordReader, row: Row) -> list[RecordPlace | RecordError]:
    """Return the places of the records of a row, or its error."""
    try:
        name, records = reader.read(row.read(), row.where, row.number)
    except RecordError as error:
        return [error]
    return [RecordPlace(file, row.position, row.number, name, part) for part in range(len(records))]
