"""Rows of text files, read in pieces and found by their offset."""

from __future__ import annotations

import functools
import os
from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

from mmmodal.errors import RecordError
from mmmodal.records.json_text import printable
from mmmodal.records.rows import BOM, WHOLE, Row, RowSource, Span, system_errors

__all__ = ["CHUNK", "LONGEST", "Piece", "TextRows", "read_line", "split_lines", "too_long"]

LONGEST = 256 * 1024 * 1024  # bytes of one row
CHUNK = 1024 * 1024
SMALLEST = 4 * CHUNK  # a smaller part of a file is not worth a process
BLOCK = 16 * CHUNK  # of which the lines are counted once, for parts that begin behind it


class Piece(NamedTuple):
    """The text of one row and its position, or the error if there is no valid text."""

    line: int
    offset: int
    text: bytes
    problem: str = ""


class TextRows(RowSource):
    """The rows of a text file."""

    @abstractmethod
    def pieces(self, file: BinaryIO, span: Span) -> Iterator[Piece]:
        """Yield the text of each row that begins in a part of the file."""

    @abstractmethod
    def parse(self, text: bytes, where: str) -> dict[str, Any]:
        """Return the values of a row.

        Raises:
            RecordError: it is not a valid row.
        """

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal size, in bytes."""
        with system_errors(printable(self.path)):
            size = self.path.stat().st_size
        number = max(1, min(number, size // SMALLEST))
        edges = [size * place // number for place in range(number + 1)]
        return list(pairwise(edges))

    def within(self, span: Span) -> Iterator[Row]:
        """Yield the rows that begin in a part of the file."""
        with system_errors(printable(self.path)), self.path.open("rb") as file:
            size = max(1, self.path.stat().st_size)
            for piece in self.pieces(file, span):
                where = self.where(piece.line)
                yield Row(
                    where=where,
                    number=piece.line,
                    position=(piece.offset, len(piece.text)),
                    done=(piece.offset + len(piece.text)) / size,
                    read=functools.partial(self._parse, piece.text, where, piece.problem),
                )

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return the row at an offset."""
        offset, length = position
        # Opened for each read: worker processes must not share a file position.
        with system_errors(printable(self.path)), open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            text = file.read(length)
        return self.parse(text, where)

    def _parse(self, text: bytes, where: str, problem: str) -> dict[str, Any]:
        if problem:
            raise RecordError(where, problem)
        return self.parse(text, where)


def split_lines(file: BinaryIO, span: Span = WHOLE) -> Iterator[Piece]:
    """Yield the lines that begin in a part of the file, and are not blank."""
    offset, line = _first_line(file, span[0])
    while span[1] < 0 or offset < span[1]:
        text, length = read_line(file)
        if not length:
            return
        line += 1
        if length > LONGEST:
            yield Piece(line, offset, b"", too_long())
        elif text.strip().removeprefix(BOM):
            yield Piece(line, offset, text)
        offset += length


def read_line(file: BinaryIO) -> tuple[bytes, int]:
    """Return the next line and its length; of one that is too long, the text is not held."""
    text = file.readline(LONGEST + 1)
    length = len(text)
    if length <= LONGEST:
        return text, length
    while rest := file.readline(CHUNK):
        length += len(rest)
        if rest.endswith(b"\n"):
            break
    return b"", length


def too_long() -> str:
    """Return the reason against a row that is too long."""
    return f"longer than {LONGEST:,} bytes; split the row"


def _first_line(file: BinaryIO, begin: int) -> tuple[int, int]:
    """Move to the first line that begins at or after a byte; return its offset and lines before.

    The lines are counted, so that errors name the line of the whole file.
    """
    if not begin:
        return 0, 0
    status = os.fstat(file.fileno())
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    whole, rest_of_block = divmod(begin - 1, BLOCK)
    lines = sum(_lines_in(_Opened(file), version, block) for block in range(whole))
    lines += _lines_between(file, whole * BLOCK, rest_of_block)
    while rest := file.readline(CHUNK):
        if rest.endswith(b"\n"):
            lines += 1
            break
    return file.tell(), lines


class _Opened(NamedTuple):
    """An open file; all are equal, so that only the version of a file is remembered."""

    file: BinaryIO

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Opened)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=65_536)
def _lines_in(opened: _Opened, version: tuple[int, ...], block: int) -> int:
    """Return the line ends in a block of a version of a file, which a process reads once."""
    return _lines_between(opened.file, block * BLOCK, BLOCK)


def _lines_between(file: BinaryIO, begin: int, length: int) -> int:
    """Return the line ends in some bytes of a file, and move to the end of them."""
    file.seek(begin)
    lines = 0
    while length > 0 and (text := file.read(min(CHUNK, length))):
        lines += text.count(b"\n")
        length -= len(text)
    return lines
