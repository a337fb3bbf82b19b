"""Rows of a data file with where they are: JSON lines, a JSON list, Parquet, a saved folder."""

from __future__ import annotations

import contextlib
import errno
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal.errors import RecordError
from mmmodal.records.json_text import printable

__all__ = ["Row", "RowSource", "open_rows", "system_errors"]

BOM = b"\xef\xbb\xbf"
PARQUET = b"PAR1"
HEAD = 4096  # bytes that tell what a file is
NOT_DATA = {
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd-compressed; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"ARROW1": "an Arrow file; save it as Parquet, or name the folder that `datasets` saved",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file; it is parsed when `read` is called."""

    where: str
    number: int
    """The line it begins in, or the row of a table; from 1."""

    position: tuple[int, int]
    """What `RowSource.read` takes to find it again."""

    done: float
    """How much of the file lies before its end, from 0 to 1."""

    read: Callable[[], dict[str, Any]]
    """Return its values, or raise RecordError."""


class RowSource(ABC):
    """A file of rows; holds none of them, and can be sent to another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def __iter__(self) -> Iterator[Row]: ...

    @abstractmethod
    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Read one row again.

        Raises:
            RecordError: it is not a valid row.
        """

    def where(self, number: int) -> str:
        """Name a row as errors do."""
        return f"{printable(self.path)}:{number}"


def open_rows(path: str | Path) -> RowSource:
    """Find out what kind of file it is, whatever its name.

    Raises:
        RecordError: there is no such file, or it holds no rows of a known kind.
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
    if head.startswith(PARQUET):
        from mmmodal.records.table_rows import ParquetRows

        return ParquetRows(path)
    for magic, what in NOT_DATA.items():
        if head.startswith(magic):
            raise RecordError(name, f"it is {what}")
    if path.suffix == ".parquet":
        raise RecordError(name, "it is no Parquet file, or its beginning is damaged; save it again")
    return _json_rows(path, head.removeprefix(BOM).lstrip())


def _json_rows(path: Path, head: bytes) -> RowSource:
    from mmmodal.records.json_rows import JsonRows, split_lines, split_list

    if head.startswith(b"["):
        return JsonRows(path, split_list)
    if re.match(rb'\{\s*\n\s*"', head):
        reason = "its rows run over several lines; write each on one line, or all as one list [ … ]"
        raise RecordError(printable(path), reason)
    return JsonRows(path, split_lines)


@contextlib.contextmanager
def system_errors(name: str) -> Iterator[None]:
    """Turn what the system refuses into a RecordError that names the file."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise RecordError(name, "no such file; check its name") from None
    except OSError as error:
        word = errno.errorcode.get(error.errno or 0, type(error).__name__)
        reason = f"the system refuses it ({word}); check permissions and disk"
        raise RecordError(name, reason) from None
    except ValueError:  # a NUL in the name
        raise RecordError(name, "no such file; check its name") from None
