"""Rows of tar shards in the WebDataset layout: files of one key are one row.

`00012.jpg`, `00012.json` and `00012.txt` are the row `00012`, with a value for each ending. Media
are not read; they are sources of the members.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from mmmodal.errors import MediaError, RecordError
from mmmodal.media import Limits
from mmmodal.media.source import Source
from mmmodal.media.tars import MemberPlace, members, version_of
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.rows import Row, RowSource, Span, system_errors

__all__ = ["KEY", "TEXTS", "TarRows"]

KEY = "__key__"
"""The key of a row whose value is the common name of its files."""

TEXTS = frozenset({"txt", "text", "caption", "cap", "transcript", "cls", "question", "answer"})
"""The endings of files that are read as texts; those of `json` are parsed."""


LIMITS = Limits()


class TarRows(RowSource):
    """The rows of a tar file; the places of members that were found are remembered."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._found: list[MemberPlace] = []
        self._whole = False

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_found": [], "_whole": False}

    def within(self, span: Span) -> Iterator[Row]:
        """Yield all rows; a tar file is read as a whole."""
        with system_errors(printable(self.path)), self.path.open("rb") as file:
            size = max(1, self.path.stat().st_size)
            first = 0
            for number, group in enumerate(_rows(self._members(file)), start=1):
                where = self.where(number)
                last = group[-1].member
                read = functools.partial(self._values, group, where)
                done = min(1.0, (last.offset + last.size) / size)
                yield Row(where, number, (first, len(group)), done, read)
                first += len(group)

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return the row of some members."""
        first, number = position
        if len(self._found) < first + number and not self._whole:
            with system_errors(printable(self.path)), self.path.open("rb") as file:
                deque(self._members(file), maxlen=0)
        return self._values(self._found[first : first + number], where)

    def _members(self, file: BinaryIO) -> Iterator[MemberPlace]:
        version = version_of(file)
        try:
            for number, member in enumerate(members(file, printable(self.path))):
                place = MemberPlace(member, version)
                if number == len(self._found):
                    self._found.append(place)
                yield place
        except MediaError as error:
            raise RecordError(printable(self.path), error.reason) from None
        self._whole = True

    def _values(self, group: Iterable[MemberPlace], where: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for place in group:
            key, ending = split_name(place.member.name)
            if ending in values:
                raise RecordError(where, f"two files of {key!r:.80} end in {ending!r}; rename one")
            values[KEY] = key
            values[ending] = self._value(place, ending, where)
        return values

    def _value(self, place: MemberPlace, ending: str, where: str) -> Any:
        name = place.member.name
        origin = f"{printable(self.path)}::{printable(name)}"
        source = Source(origin, path=self._resolved, member=name, place=place)
        if ending != "json" and ending not in TEXTS:
            return source
        try:
            text = source.read_text(LIMITS)
        except MediaError as error:
            raise RecordError(where, f"{name!r:.80}: {error.reason}") from None
        return parse_json(text, f"{where}: {printable(name)}") if ending == "json" else text

    @functools.cached_property
    def _resolved(self) -> Path:
        return self.path.resolve()


def _rows(found: Iterable[MemberPlace]) -> Iterator[list[MemberPlace]]:
    """Yield the members of each row; the files of one key follow each other."""
    for _, group in groupby(found, key=lambda place: split_name(place.member.name)[0]):
        yield list(group)


def split_name(name: str) -> tuple[str, str]:
    """Return key and ending of a member, which the first dot after its folder separates."""
    folder, slash, stem = name.rpartition("/")
    begin, _, ending = stem.partition(".")
    return (f"{folder}{slash}{begin}" if begin else folder or "."), ending.lower()
