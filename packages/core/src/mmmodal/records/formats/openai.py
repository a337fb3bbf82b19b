"""OpenAI's chat messages: the content is a text, or parts `text`, `image_url`, `input_audio`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmmodal.config import suggest
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Message, Record
from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.foreign import ForeignRow, complete, validated
from mmmodal.records.json_text import printable

__all__ = ["FORMAT"]

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
FOREIGN = re.compile(r"(\w+)_url|input_(\w+)")
EMBEDDED = "audio"  # OpenAI accepts it as `input_audio` with plain base64, not as a data URI
DATA_URI = re.compile(r"data:[\w.-]+/(?:x-)?([\w.-]+);base64,", re.IGNORECASE)
FORMATS = {"mpeg": "mp3", "wave": "wav"}


class OpenAI(Format):
    """`{"messages": [{"role", "content": text or parts}]}`."""

    name = "openai"
    shape = "`messages` whose content is a text, or parts such as `image_url`"
    structured = ("messages",)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a content is a text, a part has a type of OpenAI's, or `id` is missing."""
        messages = row.get("messages")
        if not isinstance(messages, list) or row.get("media") is not None:
            return False
        contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
        parts = [
            part
            for content in contents
            for part in (content if isinstance(content, list) else ())
            if isinstance(part, Mapping)
        ]
        if any(FOREIGN.fullmatch(str(part.get("type"))) for part in parts):
            return True
        if any(isinstance(content, str) for content in contents):
            return True
        return row.get("id") is None and all(part.get("media") is None for part in parts)

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; URLs are unchanged, base64 data become data URIs."""
        known = validated(
            ForeignRow, {k: v for k, v in row.items() if k != "messages"}, place.where
        )
        given = row.get("messages")
        if not isinstance(given, list):
            reason = "'messages' must be a list of objects with role and content"
            raise RecordError(place.where, reason)
        media: list[dict[str, str]] = []
        messages = []
        for index, message in enumerate(given):
            field = f"'messages.{index}'"
            role = _role(message, field, place.where)
            content = message.get("content")
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            if not isinstance(content, list):
                reason = f"{field}: its content must be a text or a list of parts"
                raise RecordError(place.where, reason)
            parts = [_read_part(part, media, field, place.where) for part in content]
            messages.append({"role": role, "content": parts})
        return [known.record(place, {"messages": messages, "media": media})]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; a file becomes `<modality>_url` with its path."""
        (record,) = records
        messages = [
            {"role": message.role, "content": _content(message, record, where)}
            for message in record.messages
        ]
        return complete({"id": record.id, "messages": messages}, record, ForeignRow, where)


def _role(message: Any, field: str, where: str) -> str:
    if not isinstance(message, Mapping):
        raise RecordError(where, f"{field}: a message must be an object with role and content")
    given = {key for key, value in message.items() if value is not None}
    if unknown := sorted(given - {"role", "content"}):
        raise RecordError(
            where,
            printable(
                f"{field}: only role and content are supported, not {unknown[0]!r}; remove it"
            ),
        )
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        reason = f"{field}: its role must be system, user or assistant, got {role!r:.60}"
        raise RecordError(where, printable(reason))
    return ROLES[role]


def _read_part(part: Any, media: list[dict[str, str]], field: str, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    match = FOREIGN.fullmatch(kind) if isinstance(kind, str) else None
    modality = (match[1] or match[2]) if match else None
    known = registry().names("modalities")
    if match is None or modality not in known:
        names = ["text", *(f"{name}_url" for name in known), *(f"input_{name}" for name in known)]
        shown = printable(f"{kind!r:.60}")
        raise RecordError(where, f"{field}: a part of type {shown}{suggest(str(kind)[:60], names)}")
    uri = _address(part.get(match[0])) if match[1] else _data_uri(modality, part.get(match[0]))
    if uri is None:
        form = '{"url": "…"}' if match[1] else '{"data": "<base64>", "format": "…"}'
        raise RecordError(where, f"{field}: a part of type {kind!r} must have {kind!r}: {form}")
    media.append({"kind": modality, "uri": uri})
    return {"type": modality, "media": len(media) - 1}


def _address(target: Any) -> str | None:
    url = target.get("url") if isinstance(target, Mapping) else target
    return url if isinstance(url, str) else None


def _data_uri(modality: str, target: Any) -> str | None:
    data = target.get("data") if isinstance(target, Mapping) else None
    name = target.get("format") if isinstance(target, Mapping) else None
    if not isinstance(data, str) or not isinstance(name, str) or not name:
        return None
    return f"data:{modality}/{name};base64,{data}"


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


FORMAT = OpenAI()
