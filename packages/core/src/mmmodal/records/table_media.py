"""Media that a table holds in its cells: found without reading their bytes.

`datasets` writes a picture or a clip as a struct of `bytes` and `path`; other writers have columns
of bytes alone. A row shows a medium as a source, whose bytes are read when it is opened.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow
import pyarrow.compute

from mmmodal.errors import RecordError
from mmmodal.media.source import Source
from mmmodal.records.json_text import printable

__all__ = ["Path", "TableCell", "hollow", "media_columns", "unread_bytes", "with_media"]

Path = tuple[str | int, ...]
"""A place in a row: a column, and the keys and indices inside its value."""

BYTES, PATH = "bytes", "path"


class Cells(Protocol):
    """A table whose cells can be read alone."""

    @property
    def path(self) -> pathlib.Path: ...

    def cell(self, position: tuple[int, int], column: str) -> pyarrow.Scalar:
        """Return the value of one column of a row, with its bytes.

        Raises:
            RecordError: the table cannot be read, or changed since it was opened.
        """


@dataclass(frozen=True)
class TableCell:
    """The place of a medium's bytes in a table."""

    table: Cells
    position: tuple[int, int]
    path: Path

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            RecordError: the table cannot be read, or changed since it was opened.
        """
        try:
            value = self.table.cell(self.position, str(self.path[0]))
            for key in self.path[1:]:
                value = value[key]
            return bytes(value.as_py())
        except (LookupError, TypeError):
            reason = "the file changed while it was in use; start again"
            raise RecordError(printable(self.table.path), reason) from None


@functools.lru_cache(maxsize=8)
def media_columns(schema: pyarrow.Schema) -> Mapping[str, pyarrow.DataType]:
    """Return the columns that hold bytes, at any depth, with their types."""
    return {field.name: field.type for field in schema if _holds_bytes(field.type)}


def unread_bytes(file: Any, group: int) -> tuple[list[str] | None, dict[tuple[str, ...], bool]]:
    """Return the columns of a row group to read without the bytes of media.

    The statistics of a Parquet file tell how many bytes are there: none, or as many as there are
    structs that may hold them. Where only some structs do, the bytes must be read.

    Args:
        file: the open `pyarrow.parquet.ParquetFile`.
        group: the number of the row group.

    Returns:
        The columns, None for all, and for each leaf that need not be read whether its bytes are
        there.
    """
    schema = file.schema_arrow.remove_metadata()
    leaves = {
        path for name, kind in media_columns(schema).items() for path in _skippable(kind, (name,))
    }
    if not leaves:
        return None, {}
    known: dict[tuple[str, ...], bool] = {}
    columns = []
    about = file.metadata.row_group(group)
    # The columns of a Parquet file are the leaves of the schema, in order.
    places = [place for field in schema for place in _columns(field.type, (field.name,))]
    if len(places) != about.num_columns:
        return None, {}
    for number, path in enumerate(places):
        column = about.column(number)
        figures = column.statistics if path in leaves else None
        there = None
        if figures is not None and figures.has_null_count:
            there = column.num_values - figures.null_count
        if there == 0 or (there is not None and there == _structs(file, group, places, path)):
            known[path] = there > 0
        else:
            columns.append(column.path_in_schema)
    return (columns, known) if known else (None, {})


def _structs(
    file: Any, group: int, places: Sequence[tuple[str, ...]], path: tuple[str, ...]
) -> int | None:
    """Return the number of structs around a leaf in a row group, by another leaf of theirs.

    For a column of bytes alone it is the number of rows; None if it is not known.
    """
    about = file.metadata.row_group(group)
    if len(path) == 1:
        return int(about.num_rows)
    beside = [n for n, each in enumerate(places) if each[:-1] == path[:-1] and each != path]
    if not beside:
        return None
    column = about.column(beside[-1]).path_in_schema
    table = file.read_row_group(group, [column], use_threads=False)
    return sum(_valid(chunk, path[1:-1]) for chunk in table.column(0).chunks)


def _valid(array: Any, names: Sequence[str]) -> int:
    """Return the number of structs at a place in an array that are not null."""
    while _is_list(array.type):
        array = array.flatten()
    if not names:
        return int(len(array) - array.null_count)
    parts = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    return _valid(parts[names[0]], names[1:])


def _columns(kind: pyarrow.DataType, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the places of all leaves in a type, without the indices of lists."""
    if pyarrow.types.is_struct(kind):
        for field in kind:
            yield from _columns(field.type, (*path, field.name))
    elif pyarrow.types.is_map(kind):
        yield from _columns(kind.key_type, path)
        yield from _columns(kind.item_type, path)
    elif _is_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        yield from _columns(kind.value_type, path)
    else:
        yield path


def _skippable(kind: pyarrow.DataType, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the places of bytes that stand beside other values, so that the rest shows the form."""
    if _is_bytes(kind) and len(path) == 1:
        yield path
    elif pyarrow.types.is_struct(kind):
        others = any(not _holds_bytes(field.type) for field in kind)
        for field in kind:
            if not _is_bytes(field.type):
                yield from _skippable(field.type, (*path, field.name))
            elif others:
                yield (*path, field.name)
    elif _is_list(kind) and not _is_bytes(kind.value_type):
        yield from _skippable(kind.value_type, path)


def hollow(table: pyarrow.Table) -> pyarrow.Table:
    """Return a table in which every value of bytes is only whether it is there."""
    for name in media_columns(table.schema.remove_metadata()):
        place = table.schema.get_field_index(name)
        chunks = [_hollow(chunk) for chunk in pyarrow.chunked_array(table.column(name)).chunks]
        kind = chunks[0].type if chunks else pyarrow.bool_()
        table = table.set_column(place, name, pyarrow.chunked_array(chunks, kind))
    return table


def _hollow(array: Any) -> Any:
    kind = array.type
    if not _holds_bytes(kind):
        return array
    if _is_bytes(kind):
        return pyarrow.compute.is_valid(array)
    array = pyarrow.concat_arrays([array])  # without an offset
    if pyarrow.types.is_struct(kind):
        parts = [_hollow(part) for part in array.flatten()]
        names = [field.name for field in kind]
        return pyarrow.StructArray.from_arrays(parts, names, mask=array.is_null())
    lists = pyarrow.LargeListArray if pyarrow.types.is_large_list(kind) else pyarrow.ListArray
    return lists.from_arrays(array.offsets, _hollow(array.values), mask=array.is_null())


def with_media(
    value: Any,
    kind: pyarrow.DataType,
    path: Path,
    where: str,
    cell: Callable[[Path], TableCell],
    known: Mapping[tuple[str, ...], bool],
) -> Any:
    """Return a value of a hollow table with a source for every medium.

    Args:
        value: the value.
        kind: its type in the table with bytes.
        path: its place in the row.
        where: the position of the row, for errors.
        cell: a function that returns the cell at a place in the row.
        known: whether the bytes of some leaves are there, which were not read.

    Raises:
        RecordError: a struct has neither bytes nor a path.
    """
    fill = functools.partial(with_media, where=where, cell=cell, known=known)
    if _is_bytes(kind):
        there = known.get(_names(path), value)
        return Source(f"{where} {_shown(path)}", cell=cell(path)) if there else None
    if value is None or not _holds_bytes(kind):
        return value
    if not pyarrow.types.is_struct(kind):
        return [fill(item, kind.value_type, (*path, i)) for i, item in enumerate(value)]
    names = {field.name for field in kind}
    filled = {f.name: fill(value.get(f.name), f.type, (*path, f.name)) for f in kind}
    return _medium(filled, path, where) if {BYTES, PATH} <= names else filled


def _medium(value: Mapping[str, Any], path: Path, where: str) -> Any:
    """Return the medium of a struct of bytes and path: its source, or the path alone."""
    source, name = value[BYTES], value[PATH]
    if source is None:
        if not name:
            reason = f"{_shown(path)!r} has neither bytes nor a path; fill it, or leave out the row"
            raise RecordError(where, reason)
        return name
    shown = f"{source.origin.removesuffix(f'.{BYTES}')}{f' ({printable(name)})' if name else ''}"
    return Source(shown, cell=source.cell, name=name or "")


def _leaves(kind: pyarrow.DataType, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the places of bytes in a type, without the indices of lists."""
    if _is_bytes(kind):
        yield path
    elif pyarrow.types.is_struct(kind):
        for field in kind:
            yield from _leaves(field.type, (*path, field.name))
    elif _is_list(kind):
        yield from _leaves(kind.value_type, path)


@functools.lru_cache(maxsize=256)
def _holds_bytes(kind: pyarrow.DataType) -> bool:
    return next(_leaves(kind, ()), None) is not None


def _is_bytes(kind: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _is_list(kind: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind))


def _names(path: Path) -> tuple[str, ...]:
    return tuple(key for key in path if isinstance(key, str))


def _shown(path: Path) -> str:
    return printable(".".join(map(str, path)))
