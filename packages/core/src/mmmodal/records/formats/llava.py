"""LLaVA's rows: `image` and `conversations` of `from` and `value`, with `<image>` in the text.

Those of ShareGPT and LLaMA-Factory with `images`, `audios` and so on are of the same form.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from mmmodal.config import Config
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Expectation, Record
from mmmodal.records.beside import list_keys, media_beside, read_beside
from mmmodal.records.foreign import ForeignRow, complete, expectation, validated
from mmmodal.records.inline import Turn, mark_text, markers, paths_by_kind

__all__ = ["Llava"]

KIND = "image"
"""The modality whose marker always counts; that of another one does if the row lists its media."""

ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
SPEAKERS = {role: speaker for speaker, role in ROLES.items()}


class _Turn(Config):
    speaker: Literal["human", "gpt", "system", "user", "assistant"] = Field(alias="from")
    value: str
    expect: Expectation | None = None


class _Row(ForeignRow):
    conversations: tuple[_Turn, ...] = Field(min_length=1)


class Llava(Format):
    """`{"id", "image": path or paths, "conversations": [{"from", "value"}]}`, also of `audios`."""

    name = "llava"
    shape = "`conversations` of `from` and `value`, with `image` or `images`, `audios` …"
    structured = ("conversations",)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a turn has `from`."""
        turns = row.get("conversations")
        return isinstance(turns, list) and any(
            isinstance(t, Mapping) and "from" in t for t in turns
        )

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return `conversations`, the lists of media and the keys that all records have."""
        return {*_Row.model_fields, *list_keys()}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; the markers of media that it does not list are text."""
        about = {key: row[key] for key in row.keys() - list_keys()}
        known = validated(_Row, about, place.where)
        turns = [
            Turn(
                ROLES.get(turn.speaker, turn.speaker),
                turn.value,
                f"'conversations.{index}.value'",
            )
            for index, turn in enumerate(known.conversations)
        ]
        beside = media_beside(row, place.where)
        values = read_beside(turns, beside, place.where, {KIND, *beside})
        for message, turn in zip(values["messages"], known.conversations, strict=True):
            message["expect"] = turn.expect
        return [known.record(place, values)]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; the media of each modality are under its name."""
        (record,) = records
        kinds = {KIND, *(ref.kind for ref in record.media)}
        marks = tuple(mark for mark in markers() if mark.kind in kinds)
        turns = [
            {"from": SPEAKERS[message.role], "value": mark_text(message, marks, where)}
            | expectation(message)
            for message in record.messages
        ]
        row: dict[str, Any] = {"id": record.id}
        for kind, paths in sorted(paths_by_kind(record).items()):
            row[kind] = paths[0] if len(paths) == 1 else paths
        return complete(row | {"conversations": turns}, record, self, where)
