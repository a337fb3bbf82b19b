"""Rows of tar shards in the WebDataset layout: files of one key are one row.

`00012.jpg`, `00012.json` and `00012.txt` are the row `00012`, with a value for each ending. Media
are not read; they are sources of the members.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from mmmodal.errors import MediaError, RecordError
from mmmodal.media import Limits
from mmmodal.media.source import Source
from mmmodal.media.tars import Member, members
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.rows import Row, RowSource, Span, system_errors

__all__ = ["KEY", "TEXTS", "TarRows"]

KEY = "__key__"
"""The key of a row whose value is the common name of its files."""

TEXTS = frozenset({"txt", "text", "caption", "cap", "transcript", "cls", "question", "answer"})
"""The endings of files that are read as texts; those of `json` are parsed."""


class TarRows(RowSource):
    """The rows of a tar file."""

    def within(self, span: Span) -> Iterator[Row]:
        """Yield all rows, after checking that the tar file is whole."""
        found = self._members()
        with system_errors(printable(self.path)):
            size = max(1, self.path.stat().st_size)
        first = 0
        for number, group in enumerate(self._groups(found), start=1):
            where = self.where(number)
            last = group[-1]
            read = functools.partial(self._values, group, where)
            done = min(1.0, (last.offset + last.size) / size)
            yield Row(where, number, (first, len(group)), done, read)
            first += len(group)

    def read(self, position: tuple[int, int], where: str) -> dict[str, Any]:
        """Return the row of some members."""
        first, number = position
        return self._values(self._known[first : first + number], where)

    @functools.cached_property
    def _known(self) -> list[Member]:
        return self._members()

    def _members(self) -> list[Member]:
        name = printable(self.path)
        with system_errors(name), self.path.open("rb") as file:
            try:
                return list(members(file, name))
            except MediaError as error:
                raise RecordError(name, error.reason) from None

    def _groups(self, found: Sequence[Member]) -> list[list[Member]]:
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

    def _values(self, group: Iterable[Member], where: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for member in group:
            key, ending = split_name(member.name)
            if not key or not ending:
                reason = f"the name {member.name!r:.80} is not KEY.ENDING; leave the file out"
                raise RecordError(where, printable(reason))
            if ending in values:
                raise RecordError(where, f"two files of {key!r:.80} end in {ending!r}; rename one")
            values[KEY] = key
            values[ending] = self._value(member, ending, where)
        return values

    def _value(self, member: Member, ending: str, where: str) -> Any:
        origin = f"{printable(self.path)}::{printable(member.name)}"
        source = Source(origin, path=self.path.resolve(), member=member.name)
        if ending != "json" and ending not in TEXTS:
            return source
        try:
            text = source.read_text(Limits())
        except MediaError as error:
            raise RecordError(where, f"{member.name!r:.80}: {error.reason}") from None
        if ending == "json":
            return parse_json(text, f"{where}: {printable(member.name)}")
        return text.removesuffix("\n").removesuffix("\r")  # the end of its last line


def _key(member: Member) -> str:
    return split_name(member.name)[0]


def split_name(name: str) -> tuple[str, str]:
    """Return key and ending of a member, which the first dot after its folder separates."""
    folder, stem = PurePosixPath(name).parent, PurePosixPath(name).name
    begin, _, ending = stem.partition(".")
    return str(folder / begin) if begin else "", ending.lower()
