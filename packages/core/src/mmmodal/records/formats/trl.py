"""TRL's rows: parts `{"type": "image"}` in the messages, whose media are in `images` beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmmodal.contracts.record import Message, Record
from mmmodal.records.foreign import complete
from mmmodal.records.formats.openai import OpenAI
from mmmodal.records.inline import listed, mark_text, markers

__all__ = ["TRL"]


class TRL(OpenAI):
    """`{"messages": [{"role", "content": [{"type": "image"}, …]}], "images": [path]}`."""

    name = "trl"
    shape = '`messages` of parts such as `{"type": "image"}`, and `images`, `audios` … beside'
    found = False
    lists_media = True

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; the media of each modality are in a list."""
        (record,) = records
        if not record.media:
            # Beside an empty list, a marker in a text would stand for a medium that is not there.
            for message in record.messages:
                mark_text(message, markers(), where)
        messages = [
            {"role": message.role, "content": _parts(message)} for message in record.messages
        ]
        row = {"id": record.id, "messages": messages, "images": [], **listed(record)}
        return complete(row, record, self, where)


def _parts(message: Message) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part.text} if part.media is None else {"type": part.type}
        for part in message.content
    ]
