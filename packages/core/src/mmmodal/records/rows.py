"""The interface of a file of rows: each row with its position, parsed on request."""

from __future__ import annotations

import contextlib
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal.errors import MMModalError, RecordError
from mmmodal.records.json_text import printable

__all__ = ["BOM", "WHOLE", "Row", "RowSource", "Span", "check_names", "system_errors"]

BOM = b"\xef\xbb\xbf"

Span = tuple[int, int]
"""A part of a file: from, and up to, in what the kind of file counts."""

WHOLE: Span = (0, -1)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file; it is parsed when `read` is called."""

    where: str
    number: int
    """The line where it begins, or the row of a table, counted from 1."""

    position: tuple[int, int]
    """The position for `RowSource.read`."""

    done: float
    """The share of the file up to the end of the row, from 0 to 1."""

    read: Callable[[], dict[str, Any]]
    """A function that returns its values, or raises a RecordError."""


class RowSource(ABC):
    """A file of rows; it keeps none of them, and can be sent to another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Row]:
        return self.within(WHOLE)

    @abstractmethod
    def within(self, span: Span) -> Iterator[Row]:
        """Yield the rows of a part of the file, in order."""

    def spans(self, number: int) -> list[Span]:
        """Return at most `number` parts of the file that hold each row once, in order."""
        return [WHOLE]

    @abstractmethod
    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return one row by its position.

        Raises:
            RecordError: it is not a valid row.
        """

    def where(self, number: int) -> str:
        """Return the position of a row, for errors."""
        return f"{printable(self.path)}:{number}"


def check_names(names: Sequence[str], where: str) -> None:
    """Check that no two columns have the same name, as a row would lose the value of one.

    Raises:
        RecordError: two have.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        shown = ", ".join(map(repr, twice))
        reason = f"it has several columns of the name {shown}; rename or remove them"
        raise RecordError(where, printable(reason))


@contextlib.contextmanager
def system_errors(name: str) -> Iterator[None]:
    """Raise errors of the system as a RecordError that names the file."""
    try:
        yield
    except MMModalError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise RecordError(name, "no such file; check its name") from None
    except OSError as error:
        word = errno.errorcode.get(error.errno or 0, type(error).__name__)
        reason = f"the system cannot read it ({word}); check its permissions and the disk"
        raise RecordError(name, reason) from None
    except ValueError:  # a NUL in the name
        raise RecordError(name, "no such file; check its name") from None
