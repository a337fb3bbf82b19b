"""Rows of tar shards in the WebDataset layout: files of one key are one row.

`00012.jpg`, `00012.json` and `00012.txt` are the row `00012`, with a value for each ending. Media
are not read; they are sources of the members.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

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
        """Yield all rows, after checking that the tar file is whole."""
        found = self._members()
        with system_errors(printable(self.path)):
            size = max(1, self.path.stat().st_size)
        first = 0
        for number, group in enumerate(self._groups(found), start=1):
            where = self.where(number)
            last = group[-1].member
            read = functools.partial(self._values, group, where)
            done = min(1.0, (last.offset + last.size) / size)
            yield Row(where, number, (first, len(group)), done, read)
            first += len(group)

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return the row of some members."""
        first, number = position
        return self._values(self._members()[first : first + number], where)

    def _members(self) -> list[MemberPlace]:
        """Return the places of all members, which are found once."""
        if not self._whole:
            name = printable(self.path)
            with system_errors(name), self.path.open("rb") as file:
                version = version_of(file)
                try:
                    self._found = [MemberPlace(each, version) for each in members(file, name)]
                except MediaError as error:
                    raise RecordError(name, error.reason) from None
            self._whole = True
        return self._found

    def _groups(self, found: Sequence[MemberPlace]) -> list[list[MemberPlace]]:
        """Return the members of each row, which follow each other.

        Raises:
            RecordError: those of one do not.
        """
        groups = [list(group) for _, group in groupby(found, key=_key)]
        keys = Counter(key for group in groups if (key := _key(group[0])))
        for key, number in keys.most_common(1):
            if number > 1:
                reason = f"its files of the key {key!r:.80} do not follow each other"
                todo = "make it by `tar --sort=name`"
                raise RecordError(printable(self.path), printable(f"{reason}; {todo}"))
        return groups

    def _values(self, group: Iterable[MemberPlace], where: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for place in group:
            key, ending = split_name(place.member.name)
            if not key or not ending:
                name = place.member.name
                reason = f"the name {name!r:.80} is not KEY.ENDING; leave the file out"
                raise RecordError(where, printable(reason))
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
        if ending == "json":
            return parse_json(text, f"{where}: {printable(name)}")
        return text.removesuffix("\n").removesuffix("\r")  # the end of its last line

    @functools.cached_property
    def _resolved(self) -> Path:
        return self.path.resolve()


def _key(place: MemberPlace) -> str:
    return split_name(place.member.name)[0]


def split_name(name: str) -> tuple[str, str]:
    """Return key and ending of a member, which the first dot after its folder separates."""
    folder, slash, stem = name.rpartition("/")
    begin, _, ending = stem.partition(".")
    return f"{folder}{slash}{begin}" if begin else "", ending.lower()
