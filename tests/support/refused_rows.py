"""Read the rejected and the failed rows of a step of the data pipeline from its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

from mmmodal_datagen.contracts import Refusal
from mmmodal_datagen.rows.tables import rows_of

__all__ = ["read_refusals", "refusals_in"]


def refusals_in(folder: Path) -> list[Refusal]:
    """Return the rejected and failed rows of all shards in the folder of a step."""
    return [
        refusal
        for again, pattern in ((False, "rejected-*.parquet"), (True, "failed-*.parquet"))
        for path in sorted(folder.glob(pattern))
        for refusal in read_refusals(path, again=again)
    ]


def read_refusals(path: Path, *, again: bool) -> Iterator[Refusal]:
    """Yield the rejected or failed rows of a Parquet file."""
    table = pyarrow.parquet.read_table(path)
    columns = (table.column("reason").to_pylist(), table.column("detail").to_pylist())
    rows = rows_of(table.drop_columns(["reason", "detail"]))
    for row, reason, detail in zip(rows, *columns, strict=True):
        yield Refusal(row, reason, detail, again=again)
