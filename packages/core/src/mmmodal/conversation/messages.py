"""Read messages in the form of transformers' chat templates and of OpenAI's API."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mmmodal.config import suggest
from mmmodal.contracts.record import ContentPart, Message
from mmmodal.errors import RenderError

__all__ = ["holds_medium", "read_messages", "read_part"]

FOREIGN = re.compile(r"(\w+)_url|input_(\w+)")
LOCATIONS = ("url", "path", "media", "data")
"""The keys of a part's medium, besides the part's type itself."""


def read_messages(
    chat: Sequence[Mapping[str, Any]], modalities: Iterable[str], *, placeholders: bool = False
) -> tuple[list[Message], list[tuple[str, Any]]]:
    """Return a chat as messages that refer to media by index, and the media: (modality, value).

    A message's content is a text or a list of parts, in the forms of `read_part`. A medium given
    as text is a path or a data URI, never plain base64, except under `base64`.

    Args:
        chat: the messages.
        modalities: the modalities of the model.
        placeholders: accept `{"type": "image"}` without a medium, for which the value is None.

    Raises:
        RenderError: the type of a part is unknown, or a message has more than a role and content;
            nothing is ignored.
    """
    known = set(modalities)
    media: list[tuple[str, Any]] = []
    messages = []
    for turn in chat:
        _check_keys(turn)
        content = turn.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list):
            raise RenderError(
                f"the content of a message must be a text or a list of parts, got {content!r}"
            )
        read = []
        for part in parts:
            kind, value = read_part(part, known)
            if value is None and not placeholders:
                reason = f"has no medium; set {kind!r} or 'path'"
                raise RenderError(f"a part of type {kind!r} {reason}")
            if kind == "text":
                read.append(ContentPart(type="text", text=value))
            else:
                read.append(ContentPart(type=kind, media=len(media)))
                media.append((kind, value))
        messages.append(_message(turn.get("role"), read))
    return messages, media


def _check_keys(turn: Mapping[str, Any]) -> None:
    """Raise a RenderError for what a message says beside its role and content."""
    if more := [key for key, value in turn.items() if key not in ("role", "content") and value]:
        raise RenderError(
            f"a message has {', '.join(map(repr, more))}, which cannot be rendered; write it into "
            "the content"
        )


def _message(role: Any, parts: Sequence[ContentPart]) -> Message:
    if role not in ("system", "user", "assistant"):
        raise RenderError(f"a message's role must be system, user or assistant, got {role!r}")
    return Message(role=role, content=tuple(parts))


def read_part(
    part: Any, known: Collection[str], wrong: str = ", which this model does not accept"
) -> tuple[str, Any]:
    """Return ("text", its text), or the modality and the medium of a part of a message.

    These forms are known, for every modality:

        {"type": "image", "image" | "url" | "path" | "data": medium}     transformers, Qwen
        {"type": "image", "base64": text}                                transformers
        {"type": "image"}                       None: the medium stands beside the messages
        {"type": "image_url", "image_url": medium or {"url": medium}}    OpenAI
        {"type": "image", "image_url": …}                                Qwen2-Audio
        {"type": "input_audio", "input_audio": {"data": base64, "format": "wav"}}    OpenAI

    Args:
        part: the part, or a text.
        known: the modalities that may occur.
        wrong: what is wrong with another modality, for the error.

    Raises:
        RenderError: its type is unknown, or it has not what its type says.
    """
    if isinstance(part, str):
        return "text", _whole(part)
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return "text", _whole(part["text"])
    if isinstance(kind, str):
        named = FOREIGN.fullmatch(kind)
        if named and (modality := named[1] or named[2]) in known:
            return modality, _openai_medium(modality, part, kind)
        if kind in known:
            return kind, _own_medium(kind, part)
    names = [name for each in known for name in (each, f"{each}_url", f"input_{each}")]
    hint = suggest(str(kind)[:60], [*names, "text"])
    raise RenderError(f"a part of type {kind!r:.60}{wrong}{hint}")


def _whole(text: str) -> str:
    """Return a text without half characters, as bytes that are not UTF-8 become in Python."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RenderError(
            f"a text has half a character (a lone surrogate, at character {error.start + 1:,}), as "
            "from bytes that are not UTF-8; decode them correctly"
        ) from None
    return text


def holds_medium(part: Mapping[str, Any]) -> bool:
    """Return whether a part holds a medium itself, in one of the forms of `read_part`."""
    kind = part.get("type")
    if not isinstance(kind, str) or kind == "text":
        return False
    keys = (kind, *LOCATIONS, "base64", f"{kind}_url")
    own = (part.get(key) for key in keys)
    # A number is the index of a medium, in our own records.
    return bool(FOREIGN.fullmatch(kind)) or any(
        each is not None and not isinstance(each, int) for each in own
    )


def _own_medium(kind: str, part: Mapping[str, Any]) -> Any:
    """Return the medium of a part, None if it names none."""
    for key in (kind, *LOCATIONS):
        if part.get(key) is not None:
            return part[key]
    if isinstance(part.get("base64"), str):
        return _data_uri("application/octet-stream", part["base64"])
    return _address(part.get(f"{kind}_url"))


def _openai_medium(modality: str, part: Mapping[str, Any], kind: str) -> Any:
    target = part.get(kind)
    if kind == f"input_{modality}":
        value, form = _inline(modality, target), '{"data": "<base64>", "format": "…"}'
    else:
        value, form = _address(target), '{"url": "…"}'
    if value is None:
        raise RenderError(f"a part of type {kind!r} must have {kind!r}: {form}")
    return value


def _address(target: Any) -> Any:
    return target.get("url") if isinstance(target, Mapping) else target


def _inline(modality: str, target: Any) -> Any:
    """Return OpenAI's `{"data": base64, "format": "wav"}` as a data URI; other values unchanged."""
    if not isinstance(target, Mapping):
        return target
    if not isinstance(target.get("data"), str):
        return None
    return _data_uri(f"{modality}/{target.get('format', 'wav')}", target["data"])


def _data_uri(media_type: str, data: str) -> str:
    """Return base64 as a data URI; a data URI is returned unchanged."""
    return data if data[:5].lower() == "data:" else f"data:{media_type};base64,{data}"
