"""Chat messages: the content is a text, or parts in OpenAI's form or that of transformers.

Media are in the parts, or listed beside the messages, which then mark their places: by parts
`{"type": "image"}`, or by `<image>` in the texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Message, Record
from mmmodal.conversation.messages import holds_medium
from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.beside import list_keys, media_beside
from mmmodal.records.content import ContentReader
from mmmodal.records.foreign import ForeignRow, complete, expectation, validated

__all__ = ["OpenAI"]

EMBEDDED = "audio"  # OpenAI accepts it as `input_audio` with plain base64, not as a data URI
DATA_URI = re.compile(r"data:[\w.-]+/(?:x-)?([\w.-]+);base64,", re.IGNORECASE)
FORMATS = {"mpeg": "mp3", "wave": "wav"}


class OpenAI(Format):
    """`{"messages": [{"role", "content": text or parts}]}`, and perhaps `images` beside."""

    name = "openai"
    shape = "`messages` whose content is a text, or parts such as `image_url`"
    structured = ("messages",)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether the messages are not in our own form, which refers to media by index."""
        messages = row.get("messages")
        if not isinstance(messages, list) or row.get("media") is not None:
            return False
        contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
        if any(isinstance(content, str) for content in contents):
            return True
        parts = [
            part
            for content in contents
            for part in (content if isinstance(content, list) else ())
            if isinstance(part, Mapping)
        ]
        if any(map(holds_medium, parts)):
            return True
        listed = any(row.get(key) is not None for key in list_keys())
        return (listed or row.get("id") is None) and all(p.get("media") is None for p in parts)

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return `messages`, the lists of media beside them, and the keys that all records have."""
        return {"messages", *list_keys(), *ForeignRow.model_fields}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; URLs are unchanged, base64 data become data URIs."""
        about = {key: row[key] for key in row.keys() - {"messages", *list_keys()}}
        known = validated(ForeignRow, about, place.where)
        reader = ContentReader(media_beside(row, place.where), place.where)
        return [known.record(place, reader.read(row.get("messages")))]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; a file becomes `<modality>_url` with its path."""
        (record,) = records
        messages = [
            {"role": message.role, "content": _content(message, record, where)}
            | expectation(message)
            for message in record.messages
        ]
        return complete({"id": record.id, "messages": messages}, record, self, where)


def _content(message: Message, record: Record, where: str) -> str | list[dict[str, Any]]:
    if all(part.text is not None for part in message.content):
        return "".join(part.text or "" for part in message.content)
    known = registry().names("modalities")
    for part in message.content:
        if part.text is None and part.type not in known:
            reason = f"no installed plugin provides {part.type!r}, so it could not be read again"
            raise RecordError(where, reason)
    return [
        {"type": "text", "text": part.text}
        if part.media is None
        else _write_medium(part.type, record.media[part.media].uri)
        for part in message.content
    ]


def _write_medium(modality: str, uri: str) -> dict[str, Any]:
    inline = DATA_URI.match(uri) if modality == EMBEDDED else None
    if inline is None:
        return {"type": f"{modality}_url", f"{modality}_url": {"url": uri}}
    name = FORMATS.get(inline[1].lower(), inline[1])
    about = {"data": uri[inline.end() :], "format": name}
    return {"type": f"input_{modality}", f"input_{modality}": about}
