"""Rows as Arrow tables, and tables as rows."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mmmodal_datagen.rows.row import Row

__all__ = [
    "read_rows",
    "row_schema",
    "row_table",
    "row_values",
    "rows_of",
]

JSON_COLUMNS = ("metrics", "origins", "meta")
"""Columns without fixed keys; they contain JSON as text, which any Parquet reader can read."""

BATCH = 1000  # rows that are read at once


@functools.cache
def row_schema() -> pa.Schema:
    """Return the columns of a table of rows."""
    text, texts = pa.string(), pa.list_(pa.string())
    piece = pa.struct(
        {"type": text, "text": text, "text_ms": text, "lang": text, "media": pa.int32()}
    )
    turn = pa.struct({"role": text, "content": pa.list_(piece)})
    medium = pa.struct(
        {
            **dict.fromkeys(("kind", "uri", "sha256"), text),
            **dict.fromkeys(("start_s", "end_s"), pa.float64()),
            **dict.fromkeys(("description", "description_source", "lang", "facts"), text),
        }
    )
    gate = pa.struct(
        {"name": text, "value": pa.float64(), "threshold": pa.float64(), "passed": pa.bool_()}
    )
    return pa.schema(
        {
            "id": text,
            "kind": text,
            "turns": pa.list_(turn),
            "media": pa.list_(medium),
            "relation": text,
            "parents": texts,
            "groups": texts,
            "metrics": text,
            "gates": pa.list_(gate),
            "origins": text,
            "licence": text,
            "source_url": text,
            "synthetic": pa.bool_(),
            "meta": text,
        }
    )


def row_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table."""
    return pa.Table.from_pylist([_cells(row) for row in rows], row_schema())


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file; it is read in batches."""
    # `with` closes the file also when the reader stops early.
    with pa.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, use_threads=False):
            yield from rows_of(batch)


def rows_of(table: pa.Table | pa.RecordBatch) -> Iterator[Row]:
    """Yield the rows of a table."""
    for cells in table.to_pylist():
        yield Row.model_validate(row_values(cells))


def _cells(row: Row) -> dict[str, Any]:
    cells = row.model_dump(mode="json")
    for name in JSON_COLUMNS:
        cells[name] = _text(cells[name])
    for medium in cells["media"]:
        medium["facts"] = _text(medium["facts"])
    return cells


def _text(value: Any) -> str | None:
    # Keys keep their order, so that rows of other formats can be written as they were read.
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)


def row_values(cells: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row, read from a table or from JSON.

    Raises:
        ValueError: the text of a JSON column is not JSON.
    """
    values = {name: value for name, value in cells.items() if value is not None}
    for name in JSON_COLUMNS:
        if isinstance(values.get(name), str):
            values[name] = json.loads(values[name])
    for medium in values.get("media", ()):
        if isinstance(medium.get("facts"), str):
            medium["facts"] = json.loads(medium["facts"])
    return values
