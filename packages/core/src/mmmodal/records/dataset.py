"""The records of data files: all in order, or one by its index without the others."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import operator
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from mmmodal.contracts.format import Format
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.files import open_rows
from mmmodal.records.index import content_key, index_of
from mmmodal.records.reading import RecordPlace, RecordReader, Scanned
from mmmodal.records.rows import Row
from mmmodal.records.shard import LocalShard, Shard, Shards
from mmmodal.records.shards import find_shards

__all__ = ["OnError", "RecordDataset", "RecordFiles", "Scanned", "read_records", "scan"]

OnError = Literal["raise"] | Callable[[RecordError], None]
"""The handling of a bad row: raise the error, or pass it to a function and leave out the row."""

OPEN = 8
"""The number of files that a process keeps open."""


def scan(
    path: str | Path | Shards,
    *,
    format: str | Format | None = None,
    root_maps: Sequence[str] = (),
    root: Path | None = None,
) -> Iterator[Scanned]:
    """Return an iterator of every record of a data set, and every bad row as its error.

    Args:
        path: as for `read_records`.
        format: the same.
        root_maps: the same.
        root: the folder of relative media paths; by default, that of each file, or of the data set
            of the Hub.

    Raises:
        RecordError: there is no such data set; see `find_shards`.
    """
    found = _shards(path)
    settings: Any = {"root": root, "format": found.read_as(format), "root_maps": root_maps}
    files = RecordFiles(found.shards, **settings)
    try:
        files.reader(0)
    except RecordError:
        if len(files.files) == 1:  # else the others are read too
            raise
    return _scan(files)


def _scan(files: RecordFiles) -> Iterator[Scanned]:
    number = len(files.files)
    for file in range(number):
        for item in _scan_file(files, file):
            row = item.row
            if number > 1:
                row = dataclasses.replace(row, done=(file + row.done) / number)
            yield dataclasses.replace(item, row=row)


def _scan_file(files: RecordFiles, file: int) -> Iterator[Scanned]:
    """Yield the records of a file; that it is damaged is the error of its last row."""
    try:
        yield from files.reader(file).scan()
    except RecordError as error:
        yield Scanned(Row(error.where, 0, (0, 0), 1.0, dict), error=error)


def _shards(path: str | Path | Sequence[Path] | Shards) -> Shards:
    """Return the files of a data set."""
    if isinstance(path, str | Path):
        return find_shards(path)
    return path if isinstance(path, Shards) else Shards("", tuple(map(LocalShard, path)))


def read_records(
    path: str | Path | Shards,
    *,
    format: str | Format | None = None,
    root_maps: Sequence[str] = (),
    on_error: OnError = "raise",
) -> Iterator[tuple[str, Record]]:
    """Yield (where, record) in the files' order, reading each in pieces.

    Args:
        path: a file, a folder, a pattern or a data set of the Hub, as for `find_shards`, or what
            that returned.
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


class RecordFiles:
    """Files of records, opened when they are read, in any process."""

    def __init__(
        self,
        files: Sequence[Shard],
        *,
        root: str | Path | None = None,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
    ) -> None:
        """Name files.

        Args:
            files: the files; one of the Hub is downloaded when it is read.
            root: the folder of relative media paths; by default that of each file.
            format: the format of all rows; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
        """
        self.files = tuple(files)
        self._root = None if root is None else Path(root)
        self._settings: Any = {"format": format, "root_maps": tuple(root_maps)}
        self._readers: OrderedDict[int, RecordReader] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict()}

    def root_of(self, file: int) -> Path:
        """Return the folder of relative media paths of a file."""
        return self.reader(file).folder if self._root is None else self._root

    def reader(self, file: int) -> RecordReader:
        """Return the reader of a file."""
        if file not in self._readers:
            shard = self.files[file]
            beside = shard if self._root is None else None
            rows = open_rows(shard.path())
            self._readers[file] = RecordReader(rows, shard=beside, **self._settings)
            if len(self._readers) > OPEN:
                self._readers.popitem(last=False)
        self._readers.move_to_end(file)
        return self._readers[file]

    def record(self, place: RecordPlace) -> tuple[str, Record]:
        """Return the position of a record for errors, and the record.

        Raises:
            RecordError: the file changed since the record was found.
        """
        return self.reader(place.file).at(place)


class RecordDataset:
    """The records of files by index, as PyTorch's data loader requires.

    The rows are read once, so that bad ones are found before training; only the positions of
    records are kept. The dataset can be sent to worker processes.
    """

    def __init__(
        self,
        path: str | Path | Sequence[Path] | Shards,
        *,
        root: str | Path | None = None,
        format: str | Format | None = None,
        root_maps: Sequence[str] = (),
        on_error: OnError = "raise",
    ) -> None:
        """Index files.

        Args:
            path: a file, a folder, a pattern or a data set of the Hub, as for `find_shards`, or
                what that returned; or files.
            root: the folder of relative media paths; by default that of each file.
            format: the format of all rows; by default it is detected for each.
            root_maps: `OLD=NEW` beginnings of media paths.
            on_error: "raise", or a function that gets the error of each bad row, which is left out.

        Raises:
            RecordError: a row is bad, or a file cannot be read.
        """
        found = _shards(path)
        format = found.read_as(format)
        self.files = found.shards
        """The files."""

        self._settings: Any = {"format": format, "root_maps": tuple(root_maps)}
        self._files = RecordFiles(self.files, root=root, **self._settings)
        with contextlib.suppress(RecordError):  # which is one of the index, too
            self._files.reader(0)  # reports a wrong format or root map at once
        self._index = index_of([file.path() for file in self.files], format)
        for error in self._index.errors:
            _handle(error, on_error)
        self.skipped = len(self._index.errors)
        """The number of bad rows, which are left out."""

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: SupportsIndex) -> tuple[str, Record]:
        """Return the position of a record, and the record.

        Raises:
            IndexError: there is no such record.
            RecordError: the file changed since it was opened.
        """
        return self._files.record(self._index.place(self._number(index)))

    def root(self, index: SupportsIndex) -> Path:
        """Return the folder of the relative media paths of a record."""
        return self._files.root_of(self._index.place(self._number(index)).file)

    def parts(self) -> Iterator[tuple[str, range]]:
        """Yield, for each file, a key and the numbers of its records.

        The key is one of the file's content, of what reads it, and of where paths in it lead.
        """
        import numpy as np

        edges = np.searchsorted(self._index.places[:, 0], range(len(self.files) + 1)).tolist()
        for number, (begin, end) in enumerate(pairwise(edges)):
            key = content_key([self.files[number].path()], self._settings["format"])
            root = os.path.abspath(self._files.root_of(number))
            yield json.dumps([key, root, list(self._settings["root_maps"])]), range(begin, end)

    def _number(self, index: SupportsIndex) -> int:
        number = operator.index(index)
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        return place
