"""Rows of JSON text, one on each line or all in one list, read in pieces and found by offset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmmodal.records import text_rows
from mmmodal.records.json_text import check_object, parse_json
from mmmodal.records.rows import WHOLE, Span
from mmmodal.records.text_rows import Piece, TextRows, split_lines

__all__ = ["JsonRows", "split_list"]

BLANK = re.compile(rb"\s*")
# A whole string, or its beginning if its end is not in the buffer yet; or a bracket or comma.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)


class JsonRows(TextRows):
    """The rows of a JSON file, which `split` finds."""

    def __init__(self, path: Path, split: Callable[[BinaryIO, Span], Iterator[Piece]]) -> None:
        super().__init__(path)
        self._split = split

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal size, in bytes; a list is one part."""
        return super().spans(number) if self._split is split_lines else [WHOLE]

    def pieces(self, file: BinaryIO, span: Span) -> Iterator[Piece]:
        """Yield the text of each row that begins in a part of the file."""
        return self._split(file, span)

    def parse(self, text: bytes, where: str) -> dict[str, Any]:
        """Return the values of a row."""
        row: dict[str, Any] = parse_json(text, where)
        check_object(row, where)
        return row


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
        yield scanner.problem(text_rows.too_long())
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
        return self._buffer[self._position :].strip() or self._file.read(text_rows.CHUNK)

    def _first_line(self) -> tuple[int, int]:
        """Return the line where the current element's text begins, and the blanks before it."""
        match = BLANK.match(self._buffer, self._start)
        blank = match[0] if match else b""
        return self._line + blank.count(b"\n"), len(blank)

    def _fill(self) -> bool:
        """Read more bytes, and drop those before the current element."""
        held = self._buffer[self._start :]
        if len(held) > text_rows.LONGEST:
            self.too_long = True
            return False
        # Doubling keeps the time linear for an element of any length.
        more = self._file.read(max(text_rows.CHUNK, len(held)))
        self._buffer = held + more
        self._offset += self._start
        self._position -= self._start
        self._start = 0
        return bool(more)
