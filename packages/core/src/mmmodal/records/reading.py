"""Read the rows of data files as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import RecordError
from mmmodal.records.detection import find_format, read_row, unused_keys
from mmmodal.records.json_text import printable
from mmmodal.records.paths import RootMaps
from mmmodal.records.rows import WHOLE, Row, RowSource, Span
from mmmodal.records.shard import Shard

__all__ = ["RecordPlace", "RecordReader", "Scanned"]


class RecordPlace(NamedTuple):
    """Where a record is in some files."""

    file: int
    position: tuple[int, int]
    """The position of its row, for `RowSource.read`."""

    number: int
    """The line or row in the file, counted from 1."""

    format: str
    part: int
    """The index of the record among those of its row."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """One record of a row, or the error of the row."""

    row: Row
    """The row; that of the error of a whole file has the number 0."""

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
        self,
        source: RowSource,
        *,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
        shard: Shard | None = None,
    ) -> None:
        """Read a file.

        Args:
            source: the rows of the file.
            format: the format of all rows; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
            shard: the shard whose relative media paths begin beside it; by default, they begin in
                a folder that the caller knows.
        """
        self.source = source
        self._shard = shard
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
        return found.name, [self._placed(self._maps.apply(record)) for record in records]

    def _placed(self, record: Record) -> Record:
        """Return a record with the media that are fetched when they are read."""
        if self._shard is None:
            return record
        media = tuple(map(self._place, record.media))
        return record if media == record.media else record.model_copy(update={"media": media})

    def _place(self, ref: MediaRef) -> MediaRef:
        if self._shard is None or ref.held is not None:
            return ref
        source = self._shard.beside(ref.uri)
        return ref if source is None else MediaRef(kind=ref.kind, uri=source, sha256=ref.sha256)

    def at(self, place: RecordPlace) -> tuple[str, Record]:
        """Return the position of a record for errors, and the record that was found there before.

        Raises:
            RecordError: the file changed since then.
        """
        where = self.source.where(place.number)
        values = self.source.read(place.position, where)
        _, records = self.read(values, where, place.number, place.format)
        if place.part >= len(records):
            raise RecordError(where, "the file changed while it was in use; start again")
        return where, records[place.part]

    def places(self, row: Row, file: int) -> list[RecordPlace | RecordError]:
        """Return the places of the records of a row in the file of a number, or its error."""
        try:
            name, records = self.read(row.read(), row.where, row.number)
        except RecordError as error:
            return [error]
        return [
            RecordPlace(file, row.position, row.number, name, part) for part in range(len(records))
        ]

    def scan(self, span: Span = WHOLE) -> Iterator[Scanned]:
        """Yield every record of a part of the file, and every bad row as its error."""
        folder = self.source.path.parent
        for row in self.source.within(span):
            try:
                values = row.read()
                name, records = self.read(values, row.where, row.number)
            except RecordError as error:
                yield Scanned(row, error=error, folder=folder)
                continue
            unused = unused_keys(values, self._format or find_format(name))
            for part, record in enumerate(records):
                yield Scanned(row, record, part, name, unused=unused, folder=folder)
