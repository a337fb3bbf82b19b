"""The content of messages as other programs write it: texts, and parts with or without media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmmodal.conversation.messages import read_part
from mmmodal.errors import RecordError, RenderError
from mmmodal.media.source import Source
from mmmodal.plugins import registry
from mmmodal.records.addresses import Medium, address, shown
from mmmodal.records.beside import Beside, check_counts, read_beside
from mmmodal.records.inline import Turn
from mmmodal.records.json_text import printable
from mmmodal.records.naming import is_blank

__all__ = ["ContentReader"]

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
LEARNED = frozenset({"weight", "loss"})
"""Keys of a message that say whether it is learned, as OpenAI and ms-swift have them."""

HINTS = frozenset({"detail", "format", "cache_control"})
"""Keys of a part that say nothing of which medium it is."""


class ContentReader:
    """Read the messages of one row, and find their media in them or in the row's lists."""

    def __init__(self, beside: Mapping[str, Beside], where: str) -> None:
        self._beside = beside
        self._where = where
        self._media: list[dict[str, Any]] = []
        self._placed: dict[str, list[int]] = {kind: [] for kind in beside}
        """The indices of the listed media of each modality that parts have placed."""

    def read(self, given: Any) -> dict[str, Any]:
        """Return `messages` and `media` of a record, as plain values.

        Raises:
            RecordError: a message is not valid, or media of a list have no place in the messages.
        """
        if not isinstance(given, list):
            reason = "'messages' must be a list of objects with role and content"
            raise RecordError(self._where, reason)
        messages = [self._message(message, index) for index, message in enumerate(given)]
        if self._beside and not self._media:
            turns = [Turn(m["role"], _text(m), f"'messages.{i}'") for i, m in enumerate(messages)]
            read = read_beside(turns, self._beside, self._where)
            return {**read, "messages": _with_expectations(read["messages"], given)}
        listed = [shown(uri) for each in self._beside.values() for uri in each.uris]
        if sorted(listed) != sorted(shown(medium["uri"]) for medium in self._media):
            marked = {kind: len({*numbers}) for kind, numbers in self._placed.items()}
            check_counts(marked, self._beside, self._where)
        return {"messages": _with_expectations(messages, given), "media": self._media}

    def _message(self, message: Any, index: int) -> dict[str, Any]:
        field = f"'messages.{index}'"
        role = _role(message, field, self._where)
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            reason = f"{field}: its content must be a text or a list of parts"
            raise RecordError(self._where, reason)
        try:
            return {"role": role, "content": [self._part(part) for part in content]}
        except (RenderError, ValueError) as error:
            raise RecordError(self._where, printable(f"{field}: {error}")) from None

    def _part(self, part: Any) -> dict[str, Any]:
        kind, value = read_part(part, registry().names("modalities"), wrong="")
        if kind == "text":
            _check_other_keys(part, value)
            return {"type": "text", "text": value}
        uri = self._listed(kind, part.get("index")) if value is None else _uri(part, kind, value)
        _check_other_keys(part, shown(uri), value if isinstance(uri, Source) else None)
        self._media.append({"kind": kind, "uri": uri})
        return {"type": kind, "media": len(self._media) - 1}

    def _listed(self, kind: str, index: Any) -> Medium:
        """Return the listed medium of a part without its own: the next, or that of its index."""
        part = f"a part of type {kind!r}"
        if kind not in self._beside:
            raise ValueError(f"{part} has no medium; set {kind!r}, or list it under '{kind}s'")
        key, uris = self._beside[kind]
        number = len(self._placed[kind]) if index is None else index
        if not isinstance(number, int) or not 0 <= number < len(uris):
            raise ValueError(
                f"{part} has the index {number!r:.20}, from 0, but {key!r} lists {len(uris)} media"
            )
        self._placed[kind].append(number)
        return uris[number]


def _role(message: Any, field: str, where: str) -> str:
    if not isinstance(message, Mapping):
        raise RecordError(where, f"{field}: a message must be an object with role and content")
    given = {key for key, value in message.items() if value is not None}
    for key in LEARNED & given:
        if message[key] not in (1, True):
            reason = f"{field}: {key!r} is {message[key]!r:.20}, but every answer is learned"
            raise RecordError(where, printable(f"{reason}; leave out the row, or the key"))
    given -= LEARNED
    if unknown := sorted(given - {"role", "content", "expect"}):
        reason = f"{field}: only role and content are supported, not {unknown[0]!r}; remove it"
        raise RecordError(where, printable(reason))
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        reason = f"{field}: its role must be system, user or assistant, got {role!r:.60}"
        raise RecordError(where, printable(reason))
    return ROLES[role]


def _with_expectations(
    messages: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return messages with what the given ones say of how answers are scored."""
    return [
        {**message, "expect": said.get("expect")}
        for message, said in zip(messages, given, strict=True)
    ]


def _text(message: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in message["content"])


def _uri(part: Mapping[str, Any], kind: str, value: Any) -> Medium:
    """Return the path or URI of a part's own medium, or the medium.

    Raises:
        ValueError: it is something else.
    """
    named = part["type"]
    needs = f"a part of type {named!r} must have {named!r}: "
    if named == f"input_{kind}":
        target = part[named]
        if not isinstance(target, Mapping) or not isinstance(target.get("format"), str):
            raise ValueError(needs + '{"data": "<base64>", "format": "…"}')
    if isinstance(value, Mapping | bytes | Source):
        return address(value, kind)
    if not isinstance(value, str):
        raise ValueError(needs + ('{"url": "…"}' if named == f"{kind}_url" else "a path or URI"))
    return value


def _check_other_keys(part: Any, said: str, held: Any = None) -> None:
    """Check that a part says nothing besides its text or medium, or the value that holds it.

    Raises:
        ValueError: it does; names the key.
    """
    for key, value in part.items() if isinstance(part, Mapping) else ():
        if key in ("type", "index") or (held is not None and value is held):
            continue
        inner = value if isinstance(value, Mapping) else {"": value}
        others = [each for name, each in inner.items() if {key, name}.isdisjoint(HINTS)]
        if not all(is_blank(each) or each is held or _is_same(each, said) for each in others):
            raise ValueError(f"{key!r} of a part of type {part['type']!r} is not read; remove it")


def _is_same(value: Any, said: str) -> bool:
    """Return whether a value is a text or URI, or the base64 of the URI."""
    return isinstance(value, str) and (
        value == said or (said.startswith("data:") and said.endswith(f",{value}"))
    )
