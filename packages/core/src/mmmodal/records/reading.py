"""Read the rows of data files as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import RecordError
from mmmodal.records.detection import ReadRow, find_format, read_whole_row
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
    """The folder of relative media paths; by default that of the file."""


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
            shard: the shard whose relative media paths begin beside it, or in its folder; by
                default, they begin in the folder of the file, or one that the caller knows.
        """
        self.source = source
        self._shard = shard
        self.folder = (shard.folder if shard else None) or source.path.parent
        """The folder of relative media paths."""

        self._format = find_format(format) if isinstance(format, str) else format
        self._maps = RootMaps(root_maps)

    def read(
        self, values: dict[str, Any], where: str, number: int, known: str | None = None
    ) -> ReadRow:
        """Return the format of a row and its records, with media paths mapped.

        Args:
            values: the values of the row.
            where: the position of the row, for errors.
            number: the line of the row.
            known: the format, if it was detected before.
        """
        place = Place(where, f"{printable(self.source.path.stem)}-{number}")
        chosen = self._format or (find_format(known) if known else None)
        found = read_whole_row(values, place, chosen)
        records = [self._placed(self._maps.apply(record)) for record in found.records]
        return found._replace(records=records)

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
        records = self.read(values, where, place.number, place.format).records
        if place.part >= len(records):
            raise RecordError(where, "the file changed while it was in use; start again")
        return where, records[place.part]

    def found(self, row: Row, file: int) -> list[tuple[RecordPlace, Record]]:
        """Return the records of a row with their places in the file of a number.

        Raises:
            RecordError: it is not a valid row.
        """
        read = self.read(row.read(), row.where, row.number)
        name = read.format.name
        return [
            (RecordPlace(file, row.position, row.number, name, part), record)
            for part, record in enumerate(read.records)
        ]

    def places(self, row: Row, file: int) -> list[RecordPlace | RecordError]:
        """Return the places of the records of a row in the file of a number, or its error."""
        try:
            return [place for place, _ in self.found(row, file)]
        except RecordError as error:
            return [error]

    def scan(self, span: Span = WHOLE) -> Iterator[Scanned]:
        """Yield every record of a part of the file, and every bad row as its error."""
        folder = self.folder
        for row in self.source.within(span):
            try:
                found = self.read(row.read(), row.where, row.number)
            except RecordError as error:
                yield Scanned(row, error=error, folder=folder)
                continue
            about: Any = {"unused": found.unused, "folder": folder}
            for part, record in enumerate(found.records):
                yield Scanned(row, record, part, found.format.name, **about)
