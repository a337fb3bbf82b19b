"""The records of shards, read from any row on, without an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mmmodal.contracts.format import Format
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordFiles
from mmmodal.records.reading import RecordPlace, RecordReader
from mmmodal.records.recent import RecentRecords
from mmmodal.records.rows import WHOLE, Row, Span
from mmmodal.records.shard import LocalShard, Shard

__all__ = ["RecordStream"]

SPARE = 4
"""The portions of large files for each reader, so that neighbours change with the epoch."""


class Portion(NamedTuple):
    """A part of a file that is read in one go."""

    file: int
    span: Span
    begin: int = 0
    step: int = 1
    """The rows are every `step`th of the span, from that of index `begin` on."""


class RecordStream(RecordFiles):
    """The records of files that are read in shards; the files are not read to open it."""

    def __init__(
        self,
        files: Sequence[Shard | Path],
        *,
        root: Path | None = None,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
        readers: int = 1,
    ) -> None:
        """Open files.

        Args:
            files: the files; one of the Hub is downloaded when it is read.
            root: the folder of relative media paths; by default that of each file.
            format: the format of all rows, or its name; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
            readers: the number of lanes that read at the same time. Large files are split for
                them; where there are still fewer shards than lanes, these share the rows of each.

        Raises:
            RecordError: a file does not exist, or is of an unknown kind.
        """
        shards = [LocalShard(file) if isinstance(file, Path) else file for file in files]
        super().__init__(shards, root=root, format=format, root_maps=root_maps)
        self._recent = RecentRecords()
        self.shards = self._split(readers)
        """The portions, each of which one lane reads in an epoch."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_recent": RecentRecords()}

    def __bool__(self) -> bool:
        """Whether there are rows, which may be bad."""
        return any(rows for shard in range(len(self.shards)) for rows in self.rows(shard, 0))

    def rows(self, shard: int, first: int) -> Iterator[list[RecordPlace | RecordError]]:
        """Yield the records of each row of a shard, or the error of a bad row, from a row on."""
        file, span, begin, step = self.shards[shard]
        try:
            reader = self.reader(file)
            for row in islice(reader.source.within(span), begin + first * step, None, step):
                yield self._places(reader, row, file)
        except RecordError as error:  # of the file, which is damaged from here on
            if begin == 0:  # lanes that share the span meet it, too
                yield [error]

    def record(self, place: RecordPlace) -> tuple[str, Record]:
        """Return the position of a record for errors, and the record.

        One that this process found shortly before is not read again.

        Raises:
            RecordError: the file changed since the record was found.
        """
        return self._recent.get(place) or super().record(place)

    def _places(self, reader: RecordReader, row: Row, file: int) -> list[RecordPlace | RecordError]:
        """Return the places of the records of a row, or its error."""
        try:
            found = reader.found(row, file)
        except RecordError as error:
            return [error]
        for place, record in found:
            self._recent.add(place, row.where, record)
        return [place for place, _ in found]

    def _split(self, readers: int) -> list[Portion]:
        each = -(-SPARE * readers // max(1, len(self.files)))
        spans = [
            (file, span)
            for file in range(len(self.files))
            # Files that are not split are opened when they are read, and not all at the start.
            for span in (self.reader(file).source.spans(each) if each > 1 else [WHOLE])
        ]
        step = -(-readers // max(1, len(spans)))
        return [Portion(file, span, begin, step) for file, span in spans for begin in range(step)]
