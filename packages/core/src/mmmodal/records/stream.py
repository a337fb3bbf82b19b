"""The records of shards, read from any row on, without an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordFiles
from mmmodal.records.reading import RecordPlace
from mmmodal.records.rows import WHOLE, Span
from mmmodal.records.shard import Shard

__all__ = ["RecordStream"]


class RecordStream(RecordFiles):
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
        super().__init__(files, root=root, format=format, root_maps=root_maps)
        each = -(-shards // max(1, len(self.files)))
        self.shards: list[tuple[int, Span]] = [
            (file, span)
            for file in range(len(self.files))
            # Files that are not split are opened when they are read, and not all at the start.
            for span in (self.reader(file).source.spans(each) if each > 1 else [WHOLE])
        ]
        """The file of every shard, and the part of it."""

    def rows(self, shard: int, first: int) -> Iterator[list[RecordPlace | RecordError]]:
        """Yield the records of each row of a shard, or the error of a bad row, from a row on."""
        file, span = self.shards[shard]
        reader = self.reader(file)
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
