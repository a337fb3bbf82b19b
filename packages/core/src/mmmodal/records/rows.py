"""What a file of rows is: each row with where it stands, read when it is asked for."""

from __future__ import annotations

import contextlib
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal.errors import RecordError
from mmmodal.records.json_text import printable

__all__ = ["BOM", "Row", "RowSource", "system_errors"]

BOM = b"\xef\xbb\xbf"


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
