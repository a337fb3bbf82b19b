"""TRL's rows of `prompt` and `completion`, texts or messages, with `images` beside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.beside import list_keys, media_beside, read_listed
from mmmodal.records.content import ContentReader
from mmmodal.records.foreign import ForeignRow, validated
from mmmodal.records.inline import Turn

__all__ = ["Completion"]

KEYS = {"prompt": "user", "completion": "assistant"}
"""The keys of the texts, and who says a text that is no list of messages."""


class Completion(Format):
    """`{"prompt": text or messages, "completion": text or messages, "images": [path]}`."""

    name = "completion"
    shape = "`prompt` and `completion`, texts or lists of messages, with `images`, `audios` …"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has both, and no messages."""
        others = {"messages", "conversations"} & row.keys()
        return all(row.get(key) is not None for key in KEYS) and not others

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of texts and media, and those that all records have."""
        return {*KEYS, *list_keys(), *ForeignRow.model_fields}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row. Without markers, media stand before the first question."""
        about = {key: row[key] for key in row.keys() - {*KEYS, *list_keys()}}
        known = validated(ForeignRow, about, place.where)
        messages = [each for key in KEYS for each in _messages(row.get(key), key, place.where)]
        beside = media_beside(row, place.where)
        reader = ContentReader(beside, place.where)
        if not all(isinstance(each.get("content"), str) for each in messages):
            return [known.record(place, reader.read(messages))]
        plain = ContentReader({}, place.where).read(messages)["messages"]
        turns = [
            Turn(read["role"], each["content"], f"message {number}")
            for number, (each, read) in enumerate(zip(messages, plain, strict=True), start=1)
        ]
        return [known.record(place, read_listed(turns, beside, place.where))]


def _messages(value: Any, key: str, where: str) -> list[Mapping[str, Any]]:
    if isinstance(value, str):
        return [{"role": KEYS[key], "content": value}]
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise RecordError(where, f"{key!r} must be a text, or a list of messages")
    return value
