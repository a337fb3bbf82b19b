"""Rows of a question and an answer under two keys, with earlier ones in `history`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.beside import list_keys, media_beside, read_listed
from mmmodal.records.foreign import ForeignRow, validated
from mmmodal.records.inline import Turn
from mmmodal.records.json_text import parse_json
from mmmodal.records.naming import is_blank

__all__ = ["PairFormat"]

HISTORY = "history"


class PairFormat(Format):
    """A format of rows with a question, its answer, and media in lists beside them."""

    asked: ClassVar[tuple[str, ...]]
    """The keys of the question; their texts stand on lines of their own."""

    answered: ClassVar[str]
    """The key of the answer."""

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a question and an answer under these keys, and no messages."""
        others = {"messages", "conversations"} & row.keys()
        given = all(row.get(key) is not None for key in (self.asked[0], self.answered))
        return given and not others

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of texts and media, and those that all records have."""
        texts = (*self.asked, self.answered, HISTORY)
        return {*texts, *list_keys(), *ForeignRow.model_fields}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row. Without markers, media stand before the first question."""
        used = {*self.uses(row)} - {*ForeignRow.model_fields}
        about = {key: value for key, value in row.items() if key not in used}
        known = validated(ForeignRow, about, place.where)
        turns = [*_history(row.get(HISTORY), place.where), *self._turns(row, place.where)]
        values = read_listed(turns, media_beside(row, place.where), place.where)
        return [known.record(place, values)]

    def _turns(self, row: Mapping[str, Any], where: str) -> list[Turn]:
        """Return the last question and its answer."""
        for key in (*self.asked, self.answered):
            if not isinstance(row.get(key) or "", str):
                raise RecordError(where, f"{key!r} must be a text")
        texts = [row[key] for key in self.asked if not is_blank(row.get(key))]
        field = repr(self.asked[0])
        answer = Turn("assistant", row.get(self.answered) or "", repr(self.answered))
        return [Turn("user", "\n".join(texts), field), answer]


def _history(value: Any, where: str) -> list[Turn]:
    """Return the earlier turns, of pairs of a question and an answer."""
    pairs: Any = parse_json(value, where) if isinstance(value, str) and value.strip() else value
    if is_blank(pairs):
        return []
    turns = []
    for index, pair in enumerate(pairs if isinstance(pairs, Sequence) else [None]):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise RecordError(where, f"'{HISTORY}.{index}' must be a question and its answer")
        for role, text in zip(("user", "assistant"), pair, strict=True):
            if not isinstance(text, str):
                raise RecordError(where, f"'{HISTORY}.{index}' must be two texts")
            turns.append(Turn(role, text, f"'{HISTORY}.{index}'"))
    return turns
