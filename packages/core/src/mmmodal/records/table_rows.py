"""Rows of tables: Parquet files and folders saved by `datasets`, read in pieces."""

from __future__ import annotations

import functools
import os
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet

from mmmodal.errors import RecordError
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.rows import WHOLE, Row, RowSource, Span, check_names
from mmmodal.records.table_media import (
    TableCell,
    hollow,
    media_columns,
    unread_bytes,
    with_media,
)

__all__ = ["MappedRows", "ParquetRows", "SavedRows", "damaged"]

BATCH = 256  # rows
CACHE = 256 * 1024 * 1024  # bytes of row groups that random access keeps, in each process


class ParquetRows(RowSource):
    """A Parquet file; random access keeps the most recent row groups."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._process = -1
        self._groups: OrderedDict[tuple[int, tuple[str, ...]], pyarrow.Table] = OrderedDict()
        self._reading = threading.Lock()
        self._plans: dict[int, tuple[list[str] | None, dict[tuple[str, ...], bool]]] = {}
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._process = -1

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal numbers of row groups."""
        groups = self._open().num_row_groups
        edges = sorted({groups * place // number for place in range(number + 1)})
        return list(pairwise(edges)) or [WHOLE]

    def within(self, span: Span) -> Iterator[Row]:
        """Yield the rows of some row groups."""
        file = self._open()
        total = max(1, file.metadata.num_rows)
        begin, end = span[0], span[1] if span[1] >= 0 else file.num_row_groups
        number = sum(file.metadata.row_group(group).num_rows for group in range(begin))
        for group in range(begin, end):
            columns, known = self._unread(group)
            batches = file.iter_batches(BATCH, [group], columns, use_threads=False)
            first = number
            while (batch := self._next(batches, number)) is not None:
                table = pyarrow.Table.from_batches([batch])
                page = _Page(hollow(table), self._layout, known, self)
                for index in range(batch.num_rows):
                    number += 1
                    where = self.where(number)
                    position = (group, number - first - 1)
                    read = functools.partial(page.values, index, position, where)
                    yield Row(where, number, position, number / total, read)

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return a row of a row group."""
        group, index = position
        columns, known = self._unread(group)
        with self._reading:
            table = self._group(group, (), lambda: hollow(self._read(group, columns)))
        return _Page(table, self._layout, known, self).values(index, position, where)

    def cell(self, position: tuple[int, int], column: str) -> pyarrow.Scalar:
        """Return the value of one column of a row, with its bytes."""
        group, index = position
        # Threads read media at the same time, but neither the file nor the cache is made for it.
        self._open()
        with self._reading:
            table = self._group(group, (column,), lambda: self._read(group, [column]))
        return table.column(column)[index]

    def _unread(self, group: int) -> tuple[list[str] | None, dict[tuple[str, ...], bool]]:
        """Return what `unread_bytes` does; the statistics of a row group are read once."""
        file = self._open()
        if group not in self._plans:
            try:
                self._plans[group] = unread_bytes(file, group)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise damaged(self.path, error) from None
        return self._plans[group]

    def _next(self, batches: Any, number: int) -> pyarrow.RecordBatch | None:
        try:
            return next(batches, None)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise damaged(self.path, error, f" after row {number}") from None

    def _open(self) -> Any:
        # A forked process must not share Arrow's files.
        if self._process != os.getpid():
            try:
                self._file = pyarrow.parquet.ParquetFile(self.path)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise damaged(self.path, error) from None
            check_names(self._file.schema_arrow.names, printable(self.path))
            self._process = os.getpid()
            self._layout = _layout(self._file.schema_arrow.remove_metadata())
            self._groups = OrderedDict()
            self._reading = threading.Lock()
            self._plans = {}
        return self._file

    def _read(self, group: int, columns: list[str] | None) -> pyarrow.Table:
        return self._file.read_row_group(group, columns, use_threads=False)

    def _group(
        self, number: int, columns: tuple[str, ...], read: Callable[[], pyarrow.Table]
    ) -> pyarrow.Table:
        """Return columns of a row group, or the rows without bytes if none are named.

        The most recent ones are kept.
        """
        key = (number, columns)
        if key not in self._groups:
            try:
                self._groups[key] = read()
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise damaged(self.path, error) from None
            while len(self._groups) > 1 and sum(g.nbytes for g in self._groups.values()) > CACHE:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


class MappedRows(RowSource):
    """A table that stays on disk, mapped into memory."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def rows(self, begin: int, end: int) -> pyarrow.Table:
        """Return some rows."""

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal numbers of rows."""
        total = len(self)
        number = max(1, min(number, total // BATCH))
        return list(pairwise(total * place // number for place in range(number + 1)))

    def within(self, span: Span) -> Iterator[Row]:
        """Yield some rows."""
        total = len(self)
        end = span[1] if span[1] >= 0 else total
        for start in range(span[0], end, BATCH):
            page = self._page(start, min(end, start + BATCH))
            for index in range(len(page.table)):
                number = start + index + 1
                where, position = self.where(number), (number - 1, 0)
                read = functools.partial(page.values, index, position, where)
                yield Row(where, number, position, number / total, read)

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return a row by its index."""
        index, _ = position
        return self._page(index, index + 1).values(0, position, where)

    def cell(self, position: tuple[int, int], column: str) -> pyarrow.Scalar:
        """Return the value of one column of a row, with its bytes."""
        index, _ = position
        return self.rows(index, index + 1).column(column)[0]

    def _page(self, begin: int, end: int) -> _Page:
        table = self.rows(begin, end)
        return _Page(hollow(table), _layout(table.schema.remove_metadata()), {}, self)


class SavedRows(MappedRows):
    """A folder that `datasets` saved with `save_to_disk`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._dataset = _load(path)

    def __len__(self) -> int:
        return len(self._dataset)

    def rows(self, begin: int, end: int) -> pyarrow.Table:
        """Return some rows."""
        return self._dataset[begin:end]


def _load(path: Path) -> Any:
    import datasets

    if (path / "dataset_dict.json").is_file():
        splits = sorted(child.name for child in path.iterdir() if child.is_dir())
        known = ", ".join(str(path / split) for split in splits) or "none found"
        raise RecordError(printable(path), f"it holds several splits; name one of: {known}")
    if not (path / "state.json").is_file():
        reason = "it is a folder, but not one saved by `datasets`; name a file of rows in it"
        raise RecordError(printable(path), reason)
    try:
        # In Arrow's format, as otherwise columns of images would be decoded.
        return datasets.load_from_disk(str(path)).with_format("arrow")
    except Exception as error:
        raise damaged(path, error) from None


@dataclass(frozen=True)
class _Page:
    """Some rows of a table, without the bytes in it."""

    table: pyarrow.Table
    layout: _Layout
    """The columns of the table with its bytes."""

    known: Mapping[tuple[str, ...], bool]
    """Whether the bytes of some leaves are there, which were not read."""

    source: ParquetRows | MappedRows

    def values(self, index: int, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return the values of a row.

        Raises:
            RecordError: it cannot be read.
        """
        try:
            named = zip(self.table.column_names, self.table.columns, strict=True)
            values = {name: column[index].as_py() for name, column in named}
        except (pyarrow.ArrowException, ValueError, TypeError, KeyError) as error:
            reason = f"the row cannot be read ({type(error).__name__}); save the table again"
            raise RecordError(where, reason) from None
        for name, kind in self.layout.texts.items():
            values[name] = _open_json(values[name], kind, where)
        cell = functools.partial(TableCell, self.source, position)
        for name, kind in self.layout.media.items():
            values[name] = with_media(values.get(name), kind, (name,), where, cell, self.known)
        # A table holds null for each value that a row does not have.
        return {key: value for key, value in values.items() if value is not None}


class _Layout(NamedTuple):
    """The columns of a table that do not hold plain values, with their types."""

    texts: Mapping[str, pyarrow.DataType]
    """The columns with JSON text, which `datasets` writes for values of different types."""

    media: Mapping[str, pyarrow.DataType]


@functools.lru_cache(maxsize=8)
def _layout(schema: pyarrow.Schema) -> _Layout:
    """Return the columns of a schema without metadata, which older versions cannot hash."""
    texts = {field.name: field.type for field in schema if "arrow.json" in str(field.type)}
    return _Layout(texts, media_columns(schema))


def _open_json(value: Any, type: pyarrow.DataType, where: str) -> Any:
    """Return a value of the given type with the JSON texts in it parsed."""
    if value is None:
        return None
    if isinstance(type, pyarrow.JsonType):
        return parse_json(value, where)
    if pyarrow.types.is_list(type) or pyarrow.types.is_large_list(type):
        return [_open_json(item, type.value_type, where) for item in value]
    if pyarrow.types.is_struct(type):
        return {field.name: _open_json(value[field.name], field.type, where) for field in type}
    return value


def damaged(path: Path, error: Exception, place: str = "") -> RecordError:
    """Return the error of a table that cannot be read."""
    reason = f"it is damaged or cut off{place} ({type(error).__name__}); save it again"
    return RecordError(printable(path), reason)
