"""Rows of JSON text, one on each line or all in one list, read in pieces and found by offset."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mmmodal.errors import RecordError
from mmmodal.records.json_text import check_object, parse_json, printable
from mmmodal.records.rows import BOM, WHOLE, Row, RowSource, Span, system_errors

__all__ = ["JsonRows", "Piece", "split_lines", "split_list"]

LONGEST = 256 * 1024 * 1024  # bytes of one row
CHUNK = 1024 * 1024
SMALLEST = 4 * CHUNK  # a smaller part of a file is not worth a process
BLOCK = 16 * CHUNK  # of which the lines are counted once, for parts that begin behind it
BLANK = re.compile(rb"\s*")
# A whole string, or its beginning if its end is not in the buffer yet; or a bracket or comma.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)


class Piece(NamedTuple):
    """The text of one row and its position, or the error if there is no valid text."""

    line: int
    offset: int
    text: bytes
    problem: str = ""


class JsonRows(RowSource):
    """The rows of a JSON file, which `split` finds."""

    def __init__(self, path: Path, split: Callable[[BinaryIO, Span], Iterator[Piece]]) -> None:
        super().__init__(path)
        self._split = split

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal size, in bytes; a list is one part."""
        if self._split is split_list:
            return [WHOLE]
        with system_errors(printable(self.path)):
            size = self.path.stat().st_size
        number = max(1, min(number, size // SMALLEST))
        edges = [size * place // number for place in range(number + 1)]
        return list(pairwise(edges))

    def within(self, span: Span) -> Iterator[Row]:
        """Yield the rows that begin in a part of the file."""
        with system_errors(printable(self.path)), self.path.open("rb") as file:
            size = max(1, self.path.stat().st_size)
            for piece in self._split(file, span):
                where = self.where(piece.line)
                yield Row(
                    where=where,
                    number=piece.line,
                    position=(piece.offset, len(piece.text)),
                    done=(piece.offset + len(piece.text)) / size,
                    read=functools.partial(_parse, piece.text, where, piece.problem),
                )

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return the row at an offset."""
        offset, length = position
        # Opened for each read: worker processes must not share a file position.
        with system_errors(printable(self.path)), open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            text = file.read(length)
        return _parse(text, where)


def _parse(text: bytes, where: str, problem: str = "") -> dict[str, Any]:
    if problem:
        raise RecordError(where, problem)
    row: dict[str, Any] = parse_json(text, where)
    check_object(row, where)
    return row


def split_lines(file: BinaryIO, span: Span = WHOLE) -> Iterator[Piece]:
    """Yield the lines that begin in a part of the file, and are not blank."""
    offset, line = _first_line(file, span[0])
    while (span[1] < 0 or offset < span[1]) and (text := file.readline(LONGEST + 1)):
        line += 1
        length = len(text)
        if length > LONGEST:
            while rest := file.readline(CHUNK):
                length += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield Piece(line, offset, b"", f"longer than {LONGEST:,} bytes; split the row")
        elif text.strip().removeprefix(BOM):
            yield Piece(line, offset, text)
        offset += length


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


def split_list(file: BinaryIO, span: Span = WHOLE) -> Iterator[Piece]:
    """Yield the elements of a list, without parsing them.

    The end of a bad element is found by its brackets, so that the elements after it can be read.
    """
    scanner = _Scanner(file)
    for token in scanner.tokens():
        if token in (b"[", b"{"):
            scanner.depth += 1
            if scanner.depth == 1:
                scanner.begin()
            continue
        if token in (b"]", b"}"):
            scanner.depth -= 1
        if scanner.depth == 0 or (token == b"," and scanner.depth == 1):
            yield from scanner.element(last=scanner.depth == 0)
        if scanner.depth == 0:
            if token != b"]":
                yield scanner.problem("a closing bracket has no opening bracket; remove it")
            elif scanner.rest().strip():
                yield scanner.problem("there is text after the end of the list; remove it")
            return
    if scanner.too_long:
        yield scanner.problem(f"longer than {LONGEST:,} bytes; split the row")
    else:
        yield scanner.problem("the list does not end: the file is cut off, or a quote is missing")


class _Scanner:
    """Find brackets, commas and strings of a file; it keeps the bytes of the current element."""

    def __init__(self, file: BinaryIO) -> None:
        self.depth = 0
        self.too_long = False
        self._file = file
        self._buffer = b""
        self._offset = 0  # of the buffer in the file
        self._start = 0  # of the current element in the buffer
        self._position = 0  # after the last token
        self._line = 1  # at the current element's start
        self._count = 0

    def tokens(self) -> Iterator[bytes]:
        while True:
            match = TOKEN.search(self._buffer, self._position)
            if match is None or match[0] == b'"':
                self._position = len(self._buffer) if match is None else match.start()
                if not self._fill():
                    return
                continue
            self._position = match.end()
            yield match[0]

    def begin(self) -> None:
        self._line += self._buffer.count(b"\n", self._start, self._position)
        self._start = self._position

    def element(self, last: bool) -> Iterator[Piece]:
        """Yield the text between the last two separators, unless the whole list is empty."""
        text = self._buffer[self._start : self._position - 1]
        if text.strip() or not (last and self._count == 0):
            line, blank = self._first_line()
            yield Piece(line, self._offset + self._start + blank, text.strip())
        self._count += 1
        self.begin()

    def problem(self, reason: str) -> Piece:
        return Piece(self._first_line()[0], self._offset + self._position, b"", reason)

    def rest(self) -> bytes:
        """Return the beginning of the text after the list."""
        return self._buffer[self._position :].strip() or self._file.read(CHUNK)

    def _first_line(self) -> tuple[int, int]:
        """Return the line where the current element's text begins, and the blanks before it."""
        match = BLANK.match(self._buffer, self._start)
        blank = match[0] if match else b""
        return self._line + blank.count(b"\n"), len(blank)

    def _fill(self) -> bool:
        """Read more bytes, and drop those before the current element."""
        held = self._buffer[self._start :]
        if len(held) > LONGEST:
            self.too_long = True
            return False
        # Doubling keeps the time linear for an element of any length.
        more = self._file.read(max(CHUNK, len(held)))
        self._buffer = held + more
        self._offset += self._start
        self._position -= self._start
        self._start = 0
        return bool(more)
