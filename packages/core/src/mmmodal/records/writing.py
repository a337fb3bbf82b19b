"""Write records to a file, whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mmmodal.config import suggest
from mmmodal.contracts.format import Format
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.files import replacing
from mmmodal.records.detection import find_format
from mmmodal.records.json_text import dump_json, printable

if TYPE_CHECKING:
    import pyarrow

__all__ = ["write_located", "write_records"]

GROUP_ROWS = 1000  # small row groups, so that one record can be read without many others
GROUP_BYTES = 64 * 1024 * 1024


def write_records(records: Iterable[Record], path: str | Path, *, to: str = "native") -> int:
    """Write records as `.jsonl` or `.parquet`, by the suffix of `path`; return their number.

    Raises:
        RecordError: the format cannot express a record; no file is written then.
    """
    return write_located(((f"record {record.id!r}", record) for record in records), path, to=to)


def write_located(
    located: Iterable[tuple[str, Record]], path: str | Path, *, to: str = "native"
) -> int:
    """Write records with their positions, which errors name; return the number of records."""
    path = Path(path)
    format = find_format(to)
    writers = {".jsonl": _write_lines, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise ConfigError(
            "output", [f"unknown ending {path.suffix!r}{suggest(path.suffix, writers)}"]
        )
    if path.suffix == ".parquet" and to != "native":
        raise ConfigError("output", [f"Parquet holds native records only; write {to} as .jsonl"])
    numbers = itertools.count()
    counted = (item for item, _ in zip(located, numbers, strict=False))
    with _opened(path) as file:
        writers[path.suffix](_rows(counted, format), file)
    return next(numbers)


def _rows(
    located: Iterable[tuple[str, Record]], format: Format
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of records; records of the same row are joined."""
    held: list[Record] = []
    start = ""
    for where, record in located:
        if held and not format.joins(held, record):
            yield start, format.write(held, start)
            held = []
        if not held:
            start = where
        held.append(record)
    if held:
        yield start, format.write(held, start)


def _write_lines(rows: Iterable[tuple[str, dict[str, Any]]], file: BinaryIO) -> None:
    for where, row in rows:
        file.write(dump_json(row, where) + b"\n")


def _write_parquet(rows: Iterable[tuple[str, dict[str, Any]]], file: BinaryIO) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = _schema()
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for group in _grouped(rows):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def _grouped(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for where, row in rows:
        # Parquet must not hold values that JSON cannot, as the record could not be converted back.
        size += len(dump_json(row, where))
        if "meta" in row:
            row["meta"] = dump_json(row["meta"], where).decode("utf-8")
        group.append(row)
        if len(group) == GROUP_ROWS or size > GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _schema() -> pyarrow.Schema:
    """Return the columns of a table of records; `meta` is JSON text, as its keys are not fixed."""
    import pyarrow as pa

    part = pa.struct({"type": pa.string(), "text": pa.string(), "media": pa.int32()})
    message = pa.struct({"role": pa.string(), "content": pa.list_(part)})
    medium = pa.struct({"kind": pa.string(), "uri": pa.string(), "sha256": pa.string()})
    columns = {"id": pa.string(), "messages": pa.list_(message), "media": pa.list_(medium)}
    return pa.schema(columns | dict.fromkeys(("lang", "group", "meta"), pa.string()))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file that replaces `path` after the block."""
    try:
        with replacing(path, durable=True) as working, working.open("wb") as file:
            yield file
    except OSError as error:
        reason = f"it cannot be written ({error.strerror or type(error).__name__})"
        raise RecordError(printable(path), reason) from None
