"""Open data files, whose kind their content tells; that of CSV, TSV and MDS is in the name."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from mmmodal.errors import RecordError
from mmmodal.media.reading import looks_like
from mmmodal.records.json_text import printable
from mmmodal.records.rows import BOM, RowSource, system_errors
from mmmodal.utf8 import other_encoding

__all__ = ["open_rows"]

PARQUET = b"PAR1"
ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
"""The first bytes of an Arrow file with an index, and of a stream."""

BINARY = {".parquet": "a Parquet", ".arrow": "an Arrow"}
DELIMITED = {".csv", ".tsv"}
TAR = slice(257, 262)
"""The bytes of a tar file that are `ustar`."""

HEAD = 4096  # bytes from which the kind of a file is detected
NOT_DATA = {
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd-compressed; unpack it first",
    b"BZh": "bzip2-compressed; unpack it first",
    b"\xfd7zXZ\0": "xz-compressed; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
}


def open_rows(path: str | Path) -> RowSource:
    """Return the rows of a file, whose kind is detected by its content.

    Only CSV, TSV and MDS are detected by the name.

    Raises:
        RecordError: there is no such file, or it is of an unknown kind.
    """
    path = Path(path)
    name = printable(path)
    with system_errors(name):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            from mmmodal.records.table_rows import SavedRows

            return SavedRows(path)
        if not stat.S_ISREG(mode):
            raise RecordError(name, "it is a pipe, socket or device; name a regular file")
        with path.open("rb") as file:
            head = file.read(HEAD)
    if path.suffix == ".mds":
        from mmmodal.records.mds_rows import MdsRows

        return MdsRows(path)
    for magic, what in NOT_DATA.items():
        if head.startswith(magic):
            raise RecordError(name, f"it is {what}")
    if (table := _table_rows(path, head)) is not None:
        return table
    if encoding := other_encoding(head):
        raise RecordError(name, f"it is {encoding} text; save it as UTF-8")
    if (kind := BINARY.get(path.suffix)) and not looks_like(head):
        raise RecordError(name, f"it is not {kind} file, or its start is damaged; save it again")
    if told := looks_like(head):
        raise RecordError(name, f"it is no file of rows{told}; name another one")
    if path.suffix.lower() in DELIMITED:
        from mmmodal.records.delimited_rows import DelimitedRows

        return DelimitedRows(path)
    return _json_rows(path, head.removeprefix(BOM).lstrip())


def _table_rows(path: Path, head: bytes) -> RowSource | None:
    """Return the rows of a file that is not text; None if it is of no such kind."""
    if head.startswith(PARQUET):
        from mmmodal.records.table_rows import ParquetRows

        return ParquetRows(path)
    if head.startswith(ARROW):
        from mmmodal.records.arrow_rows import ArrowRows

        return ArrowRows(path)
    if head[TAR] == b"ustar" or path.suffix == ".tar":
        from mmmodal.records.tar_rows import TarRows

        return TarRows(path)
    return None


def _json_rows(path: Path, head: bytes) -> RowSource:
    from mmmodal.records.json_rows import JsonRows, split_list
    from mmmodal.records.text_rows import split_lines

    if head.startswith(b"["):
        return JsonRows(path, split_list)
    if re.match(rb'\{\s*\n\s*"', head):
        reason = "its rows span several lines; write each on one line, or all as one list [ … ]"
        raise RecordError(printable(path), reason)
    return JsonRows(path, split_lines)
