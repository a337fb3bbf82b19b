"""Rows of tables of text: CSV, whose values may be quoted (RFC 4180), and TSV, a row a line.

All values are texts; an empty one is none. Real TSV files, such as Common Voice's, have quotes that
are text as well as values that are quoted as in CSV, so each value is looked at alone.

The formats: https://www.rfc-editor.org/rfc/rfc4180, https://www.iana.org/assignments/media-types/text/tab-separated-values
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mmmodal.errors import RecordError
from mmmodal.records import text_rows
from mmmodal.records.json_text import printable
from mmmodal.records.rows import BOM, WHOLE, Span, check_names, system_errors
from mmmodal.records.text_rows import Piece, TextRows, read_line, split_lines, too_long
from mmmodal.utf8 import NotUtf8Error, decoded

__all__ = ["DelimitedRows"]

TAB = "\t"
DELIMITERS = (",", ";", TAB)
"""What may stand between the values of CSV: the first of them that the header has."""

QUOTED = re.compile(r'"((?:[^"]++|"")*+)"', re.DOTALL)
PLAIN = r'[^"%s\r\n]*+'
OPEN = re.compile(rb'(?:^|[,;\t])"(?:[^"]++|"")*+$')
"""A value that is quoted, and does not end in its line."""

ENDS = ("\r\n", "\n")


class DelimitedRows(TextRows):
    """The rows of a CSV or TSV file, whose first line names the columns."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._is_tsv = path.suffix.lower() == ".tsv"
        with system_errors(printable(path)), path.open("rb") as file:
            head = next(self._lines(file, WHOLE), None)
        where = self.where(1 if head is None else head.line)
        if head is None:
            raise RecordError(where, "it is empty; its first line must name the columns")
        if head.problem:
            raise RecordError(where, head.problem)
        text = _text(head.text, where)
        self._delimiter = TAB if self._is_tsv else _delimiter(text)
        self._columns = _named(self._split(text, where), where)

    def spans(self, number: int) -> list[Span]:
        """Return parts of about equal size, in bytes; CSV, whose rows may have lines, is one."""
        return super().spans(number) if self._is_tsv else [WHOLE]

    def pieces(self, file: BinaryIO, span: Span) -> Iterator[Piece]:
        """Yield the text of each row that begins in a part of the file."""
        lines = self._lines(file, span)
        if span[0] == 0:
            next(lines, None)  # the names of the columns
        return lines

    def parse(self, text: bytes, where: str) -> dict[str, Any]:
        """Return the values of a row that are not empty."""
        values = self._split(_text(text, where), where)
        if len(values) != len(self._columns):
            raise RecordError(where, self._ragged(len(values)))
        return {key: value for key, value in zip(self._columns, values, strict=True) if value}

    def _lines(self, file: BinaryIO, span: Span) -> Iterator[Piece]:
        return split_lines(file, span) if self._is_tsv else _split_quoted(file)

    def _split(self, text: str, where: str) -> list[str]:
        """Return the values of a row."""
        line = _without_end(text)
        if self._is_tsv or '"' not in line:
            return [_unquoted(value) for value in line.split(self._delimiter)]
        value = re.compile(rf"{QUOTED.pattern}|{PLAIN % self._delimiter}", re.DOTALL)
        values, place = [], 0
        while match := value.match(line, place):
            values.append(_unquoted(match[0]))
            place = match.end() + 1
            if match.end() == len(line):
                return values
            if line[match.end()] != self._delimiter:
                break
        reason = f"after value {len(values)} it has a quote inside a value that is not quoted"
        raise RecordError(where, f"{reason}; quote the whole value, and double the quotes in it")

    def _ragged(self, number: int) -> str:
        reason = (
            f"it has {number:,} values, but the first line names {len(self._columns):,} columns"
        )
        todo = "a value must hold no tab and no line break; save such a table as CSV"
        if not self._is_tsv:
            todo = f"quote each value that holds {self._delimiter!r}"
        return f"{reason}; {todo}"


def _split_quoted(file: BinaryIO) -> Iterator[Piece]:
    """Yield the rows of a CSV file that are not blank; a quoted value may have line breaks."""
    offset = line = 0
    while True:
        text, length = read_line(file)
        if not length:
            return
        row, more, lines = _rest(file, text)
        problem = "a quoted value does not end; close it by a quote" if row is None else ""
        if length + more > text_rows.LONGEST:
            problem = too_long()
        if problem:
            yield Piece(line + 1, offset, b"", problem)
        elif row and row.strip().removeprefix(BOM):
            yield Piece(line + 1, offset, row)
        offset, line = offset + length + more, line + 1 + lines


def _rest(file: BinaryIO, text: bytes) -> tuple[bytes | None, int, int]:
    """Return a row by its first line, and the bytes and number of the further lines.

    Where a quoted value does not end, the row is None, and the file is after its first line, so
    that the rows after it can be read.
    """
    lines, more, begin = [text], 0, file.tell()
    is_open = text.count(b'"') % 2 == 1 and OPEN.search(text) is not None
    while is_open:
        text, length = read_line(file)
        more += length
        if not length or len(lines[0]) + more > text_rows.LONGEST:
            file.seek(begin)
            return None, 0, 0
        lines.append(text)
        is_open ^= text.count(b'"') % 2 == 1
    return b"".join(lines), more, len(lines) - 1


def _text(data: bytes, where: str) -> str:
    try:
        return decoded(data)
    except NotUtf8Error as error:
        raise RecordError(where, f"{error}; save the file as UTF-8") from None


def _without_end(text: str) -> str:
    return next((text.removesuffix(end) for end in ENDS if text.endswith(end)), text)


def _unquoted(value: str) -> str:
    """Return a value without the quotes around it; quotes that are not around it are text."""
    found = QUOTED.fullmatch(value)
    return found[1].replace('""', '"') if found else value


def _delimiter(head: str) -> str:
    return next((each for each in DELIMITERS if each in head), DELIMITERS[0])


def _named(columns: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the names of columns; one without a name, as pandas writes its index, gets one.

    Raises:
        RecordError: two are the same, or the lines of the file do not end as others' do.
    """
    names = tuple(name or f"Unnamed: {place}" for place, name in enumerate(columns))
    if any("\r" in name for name in names):
        raise RecordError(where, "its lines end in CR alone; save it with line ends of LF")
    check_names(names, where)
    return names
