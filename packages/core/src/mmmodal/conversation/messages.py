"""Read messages in the form of transformers' chat templates and of OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmmodal.config import suggest
from mmmodal.contracts.record import ContentPart, Message
from mmmodal.errors import RenderError

__all__ = ["read_messages"]

LOCATIONS = ("url", "path", "media", "data")
"""The keys of a part's medium, besides the part's type itself."""


def read_messages(
    chat: Sequence[Mapping[str, Any]], modalities: Iterable[str], *, placeholders: bool = False
) -> tuple[list[Message], list[tuple[str, Any]]]:
    """Return a chat as messages that refer to media by index, and the media: (modality, value).

    A message's content is a text or a list of parts: `{"type": "text", "text": …}`,
    `{"type": "image", "image" | "url" | "path" | "base64": …}`, OpenAI's `image_url` and
    `input_audio`, and the same for any other modality. A text is a path or a data URI, never plain
    base64, except under `base64`.

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
            kind, value = _part(part, known)
            if value is None and not placeholders:
                raise RenderError(f"a part of type {kind!r} has no medium; set {kind!r} or 'path'")
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


def _part(part: Any, known: set[str]) -> tuple[str, Any]:
    if isinstance(part, str):
        return "text", part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return "text", part["text"]
    if isinstance(kind, str) and kind.endswith("_url") and kind.removesuffix("_url") in known:
        target = part.get(kind)
        return kind.removesuffix("_url"), target.get("url") if isinstance(
            target, Mapping
        ) else target
    if isinstance(kind, str) and kind.startswith("input_") and kind.removeprefix("input_") in known:
        return kind.removeprefix("input_"), _inline(kind.removeprefix("input_"), part.get(kind))
    if kind in known:
        for key in (kind, *LOCATIONS):
            if part.get(key) is not None:
                return kind, part[key]
        if isinstance(part.get("base64"), str):
            return kind, _data_uri("application/octet-stream", part["base64"])
        return kind, None
    hint = suggest(str(kind), known | {"text"})
    raise RenderError(
        f"a message has a part of type {kind!r}, which this model does not accept{hint}"
    )


def _inline(kind: str, target: Any) -> Any:
    """Return OpenAI's `{"data": base64, "format": "wav"}` as a data URI; other values unchanged."""
    if not isinstance(target, Mapping) or "data" not in target:
        return target
    return _data_uri(f"{kind}/{target.get('format', 'wav')}", target["data"])


def _data_uri(media_type: str, data: Any) -> str:
    """Return base64 as a data URI; a data URI is returned unchanged."""
    is_one = str(data)[:5].lower() == "data:"
    return str(data) if is_one else f"data:{media_type};base64,{data}"
