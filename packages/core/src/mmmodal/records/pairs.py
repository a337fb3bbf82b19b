"""Rows of a question and an answer under two keys, with earlier ones in `history`."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.beside import media_beside, read_listed
from mmmodal.records.column_names import ColumnNames, opened
from mmmodal.records.foreign import ForeignRow, validated
from mmmodal.records.inline import Turn
from mmmodal.records.naming import is_blank

__all__ = ["PairFormat"]

HISTORY, RESPONSE = "history", "response"


class PairFormat(Format):
    """A format of rows with a question, its answer, and media in lists beside them.

    The keys of its options, besides `history` and `response`, are those of the question, whose
    texts stand on lines of their own.
    """

    options: ColumnNames

    @functools.cached_property
    def _asked(self) -> tuple[str, ...]:
        """The columns of the question."""
        keys = (key for key in self.options.usual if key not in (HISTORY, RESPONSE))
        return tuple(filter(None, map(self.options.column, keys)))

    @functools.cached_property
    def _answered(self) -> str:
        """The column of the answer."""
        return self.options.column(RESPONSE)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a question and an answer under these keys, and no messages."""
        if {"messages", "conversations"} & row.keys():
            return False
        return all(row.get(key) is not None for key in (self._asked[0], self._answered))

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of texts and media, and those that all records have."""
        return {*self.options.read, *ForeignRow.model_fields}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row. Without markers, media stand before the first question."""
        self.options.check(row, place.where)
        about = {key: value for key, value in row.items() if key not in self.options.read}
        known = validated(ForeignRow, about, place.where)
        turns = [*self._history(row, place.where), *self._turns(row, place.where)]
        spoken = self.options.with_system(turns, row, place.where)
        beside = media_beside(row, place.where, self.options.media)
        return [known.record(place, read_listed(spoken, beside, place.where))]

    def _turns(self, row: Mapping[str, Any], where: str) -> list[Turn]:
        """Return the last question and its answer."""
        for key in (*self._asked, self._answered):
            if not isinstance(row.get(key) or "", str):
                raise RecordError(where, f"{key!r} must be a text")
        texts = [row[key] for key in self._asked if not is_blank(row.get(key))]
        answer = Turn("assistant", row.get(self._answered) or "", repr(self._answered))
        return [Turn("user", "\n".join(texts), repr(self._asked[0])), answer]

    def _history(self, row: Mapping[str, Any], where: str) -> list[Turn]:
        """Return the earlier turns, of pairs of a question and an answer."""
        column = self.options.column(HISTORY)
        pairs = opened(row.get(column), column, where)
        if is_blank(pairs):
            return []
        turns = []
        for index, pair in enumerate(pairs if isinstance(pairs, Sequence) else [None]):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                reason = f"'{column}.{index}' must be a question and its answer"
                raise RecordError(where, reason)
            for role, text in zip(("user", "assistant"), pair, strict=True):
                if not isinstance(text, str):
                    raise RecordError(where, f"'{column}.{index}' must be two texts")
                turns.append(Turn(role, text, f"'{column}.{index}'"))
        return turns
