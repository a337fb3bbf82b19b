"""Rows of Arrow files: streams, as `datasets` caches tables, and files with an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc

from mmmodal.records.json_text import printable
from mmmodal.records.rows import check_names
from mmmodal.records.table_rows import MappedRows, damaged

__all__ = ["ArrowRows"]

ARROW = b"ARROW1"
"""The first bytes of an Arrow file with an index."""

ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of a stream of Arrow."""


class ArrowRows(MappedRows):
    """An Arrow file, as a stream or with an index at its end; `datasets` caches such streams."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._table = _map_arrow(path)
        check_names(self._table.schema.names, printable(path))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._table = _map_arrow(self.path)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def rows(self, begin: int, end: int) -> pyarrow.Table:
        """Return some rows."""
        return self._table.slice(begin, end - begin)


def _map_arrow(path: Path) -> pyarrow.Table:
    """Return the table of an Arrow file, without reading it.

    Raises:
        RecordError: the file is damaged or cut off.
    """
    try:
        mapped = pyarrow.memory_map(str(path))
        if mapped.read(len(ARROW)) == ARROW:
            return pyarrow.ipc.open_file(mapped).read_all()
        mapped.seek(mapped.size() - len(ARROW_END))
        # A stream that was cut off between two batches is read without an error otherwise.
        if mapped.read() != ARROW_END:
            raise ValueError("no end")
        mapped.seek(0)
        return pyarrow.ipc.open_stream(mapped).read_all()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise damaged(path, error) from None
