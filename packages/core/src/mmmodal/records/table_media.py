"""Media that a table holds in its cells: found without reading their bytes.

`datasets` writes a picture or a clip as a struct of `bytes` and `path`; other writers have columns
of bytes alone. A row shows a medium as a source, whose bytes are read when it is opened.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
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
LISTS = frozenset({"list", "element", "item", "array"})
"""What the path of a column of a Parquet file says of lists."""


class Cells(Protocol):
    """A table whose cells can be read alone."""

    def cell(self, position: tuple[int, int], column: str) -> Any:
        """Return the value of one column of a row, with its bytes."""


@dataclass(frozen=True)
class TableCell:
    """The place of a medium's bytes in a table."""

    table: Cells
    position: tuple[int, int]
    path: Path

    def read(self) -> bytes:
        """Return the bytes."""
        value = self.table.cell(self.position, str(self.path[0]))
        for key in self.path[1:]:
            value = value[key]
        return bytes(value)


@functools.lru_cache(maxsize=8)
def media_columns(schema: pyarrow.Schema) -> Mapping[str, pyarrow.DataType]:
    """Return the columns that hold bytes, at any depth, with their types."""
    return {field.name: field.type for field in schema if any(_leaves(field.type, ()))}


def unread_bytes(file: Any, group: int) -> tuple[list[str] | None, dict[tuple[str, ...], bool]]:
    """Return the columns of a row group to read without the bytes of media.

    The statistics of a Parquet file tell which leaves are null nowhere, or everywhere.

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
    for number in range(about.num_columns):
        column = about.column(number)
        path = tuple(key for key in column.path_in_schema.split(".") if key not in LISTS)
        figures = column.statistics
        nulls = figures.null_count if figures is not None and figures.has_null_count else -1
        if path in leaves and nulls in (0, column.num_values):
            known[path] = nulls == 0
        else:
            columns.append(column.path_in_schema)
    return (columns, known) if known else (None, {})


def _skippable(kind: pyarrow.DataType, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the places of bytes that stand beside other values, so that the rest shows the form."""
    if _is_bytes(kind) and len(path) == 1:
        yield path
    elif pyarrow.types.is_struct(kind):
        others = any(not any(_leaves(field.type, ())) for field in kind)
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
    if not any(_leaves(kind, ())):
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
    if value is None or not any(_leaves(kind, ())):
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


def _is_bytes(kind: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _is_list(kind: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind))


def _names(path: Path) -> tuple[str, ...]:
    return tuple(key for key in path if isinstance(key, str))


def _shown(path: Path) -> str:
    return printable(".".join(map(str, path)))
