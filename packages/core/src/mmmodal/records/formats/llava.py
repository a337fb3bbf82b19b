"""LLaVA's rows: `image` and `conversations` of `from` and `value`, with `<image>` in the text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from mmmodal.config import Config
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.records.addresses import Medium, addresses
from mmmodal.records.foreign import ForeignRow, complete, validated
from mmmodal.records.inline import Turn, mark_text, markers, media_in_order, read_marked

__all__ = ["Llava"]

KIND = "image"  # the only modality of this format, and its key
ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
SPEAKERS = {role: speaker for speaker, role in ROLES.items()}


class _Turn(Config):
    speaker: Literal["human", "gpt", "system"] = Field(alias="from")
    value: str


class _Row(ForeignRow):
    image: tuple[Medium, ...] = ()
    conversations: tuple[_Turn, ...] = Field(min_length=1)

    @field_validator("image", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return addresses(value, KIND)


class Llava(Format):
    """`{"id", "image": path or paths, "conversations": [{"from", "value"}]}`."""

    name = "llava"
    shape = "`image` and `conversations` of `from` and `value`"
    structured = ("conversations",)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a turn has `from`."""
        turns = row.get("conversations")
        return isinstance(turns, list) and any(
            isinstance(t, Mapping) and "from" in t for t in turns
        )

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return `image`, `conversations` and the keys that all records have."""
        return _Row.model_fields

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; only `<image>` is a marker."""
        known = validated(_Row, row, place.where)
        turns = [
            Turn(ROLES[turn.speaker], turn.value, f"'conversations.{index}.value'")
            for index, turn in enumerate(known.conversations)
        ]
        media = [(path, KIND) for path in known.image]
        return [known.record(place, read_marked(turns, media, markers(KIND), place.where))]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record, which can have images only."""
        (record,) = records
        paths = media_in_order(record)
        turns = [
            {"from": SPEAKERS[message.role], "value": mark_text(message, markers(KIND), where)}
            for message in record.messages
        ]
        row: dict[str, Any] = {"id": record.id}
        if paths:
            row[KIND] = paths[0] if len(paths) == 1 else paths
        return complete(row | {"conversations": turns}, record, self, where)
