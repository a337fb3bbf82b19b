"""The records of shards, read from any row on, without an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.dataset import ShardReaders
from mmmodal.records.rows import WHOLE, Span
from mmmodal.records.shard import Shard

__all__ = ["RecordPlace", "RecordStream"]


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
        files: Sequence[Shard],
        *,
        root: Path | None = None,
        format: str | None = None,
        root_maps: Sequence[str] = (),
        shards: int = 1,
    ) -> None:
        """Open files.

        Args:
            files: the files; one of the Hub is downloaded when it is read.
            root: the folder of relative media paths; by default that of each file.
            format: the format of all rows; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
            shards: how many shards are wanted; large files are split to have as many.

        Raises:
            RecordError: a file does not exist, or is of an unknown kind.
        """
        self.files = tuple(files)
        self._root = root
        self._readers = ShardReaders(files, format=format, root_maps=root_maps)
        each = -(-shards // max(1, len(self.files)))
        self.shards: list[tuple[int, Span]] = [
            (file, span)
            for file in range(len(self.files))
            # Files that are not split are opened when they are read, and not all at the start.
            for span in (self._readers[file].source.spans(each) if each > 1 else [WHOLE])
        ]
        """The file of every shard, and the part of it."""

    def rows(self, shard: int, first: int) -> Iterator[list[RecordPlace | RecordError]]:
        """Yield the records of each row of a shard, or the error of a bad row, from a row on."""
        file, span = self.shards[shard]
        reader = self._readers[file]
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
        reader = self._readers[place.file]
        return reader.at(place.position, place.number, place.format, place.part)

    def root(self, place: RecordPlace) -> Path:
        """Return the folder of a record's relative media paths."""
        return self._root or self._readers[place.file].source.path.parent
