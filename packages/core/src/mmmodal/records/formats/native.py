"""Our own rows: messages of typed parts that refer to media by index, without markers in text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import ContentPart, Record
from mmmodal.errors import RecordError
from mmmodal.media.source import Source
from mmmodal.records.beside import list_keys
from mmmodal.records.foreign import expectation, validated
from mmmodal.records.formats.openai import OpenAI
from mmmodal.records.json_text import parse_json

__all__ = ["Native"]


class Native(Format):
    """`{"id", "messages": [{"role", "content": [part, …]}], "media": [{"kind", "uri"}]}`."""

    name = "native"
    shape = "`id`, `messages` whose content is a list of parts, and `media`"
    structured = ("messages", "media", "meta")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether the row has `messages`."""
        return "messages" in row and not OpenAI().matches(row)

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of a record, and of lists of the media that it holds itself.

        Whatever is in `meta` is kept unread.
        """
        return {*Record.model_fields, *_held(row)}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; null in a table counts as absent."""
        messages = row.get("messages")
        for index, message in enumerate(messages if isinstance(messages, list) else ()):
            if isinstance(message, Mapping) and isinstance(message.get("content"), str):
                raise RecordError(
                    place.where,
                    f"'messages.{index}.content' is a text; in a row with `media` it must be a "
                    'list such as [{"type": "text", "text": "…"}]',
                )
        held = _held(row)
        values = {k: value for k, value in row.items() if value is not None and k not in held}
        values |= _filled(row.get("media"), held, place.where)
        if isinstance(messages, list):
            values["messages"] = [_opened(message, place.where) for message in messages]
        return [validated(Record, values, place.where)]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record, without keys for absent values."""
        (record,) = records
        row: dict[str, Any] = {
            "id": record.id,
            "messages": [
                {"role": message.role, "content": [_part(part) for part in message.content]}
                | expectation(message)
                for message in record.messages
            ],
            "media": [
                {"kind": ref.kind, "uri": ref.uri}
                | ({} if ref.sha256 is None else {"sha256": ref.sha256})
                for ref in record.media
            ],
        }
        about = {name: getattr(record, name) for name in ("lang", "group", "cluster", "meta")}
        return row | {key: value for key, value in about.items() if value is not None}


def _held(row: Mapping[str, Any]) -> dict[str, list[Source]]:
    """Return the lists of media that a row of a table holds beside `media`, by their keys."""
    lists = {key: row[key] for key in list_keys() if isinstance(row.get(key), list)}
    return {
        key: found
        for key, found in lists.items()
        if all(isinstance(each, Source) for each in found)
    }


def _filled(media: Any, held: Mapping[str, list[Source]], where: str) -> dict[str, Any]:
    """Return `media` with those that the row holds, each in the order of its modality.

    Raises:
        RecordError: the numbers differ.
    """
    if not isinstance(media, list) or not any(held.values()):
        return {}
    filled = [dict(ref) if isinstance(ref, Mapping) else ref for ref in media]
    for key, sources in held.items():
        kind = list_keys()[key]
        refs = [ref for ref in filled if isinstance(ref, dict) and ref.get("kind") == kind]
        if sources and len(refs) != len(sources):
            reason = f"{key!r} holds {len(sources)} media, but 'media' lists {len(refs)} of them"
            raise RecordError(where, f"{reason}; list each once, in the same order")
        for ref, source in zip(refs, sources, strict=False):
            ref["uri"] = source
    return {"media": filled}


def _opened(message: Any, where: str) -> Any:
    """Return a message of a table with the options of its scorer, which are JSON text there.

    Raises:
        RecordError: they are another text.
    """
    expect = message.get("expect") if isinstance(message, Mapping) else None
    if not isinstance(expect, Mapping) or not isinstance(options := expect.get("options"), str):
        return message
    return {**message, "expect": {**expect, "options": parse_json(options, where)}}


def _part(part: ContentPart) -> dict[str, Any]:
    if part.text is not None:
        return {"type": part.type, "text": part.text}
    return {"type": part.type, "media": part.media}
