"""Read and write media that are marked inside texts: `<image>What is this?`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmmodal.contracts.record import Message, Record
from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.addresses import Medium, shown

__all__ = [
    "Marker",
    "Turn",
    "listed",
    "mark_text",
    "markers",
    "media_in_order",
    "order_of_media",
    "paths_by_kind",
    "read_marked",
    "split_marked",
]


class Marker(NamedTuple):
    """The markers around a medium of one modality."""

    kind: str
    begin: str
    end: str


class Turn(NamedTuple):
    """One message whose text marks its media."""

    role: str
    text: str
    field: str
    """The key of the text in the row, for errors."""


def markers(only: str | None = None) -> tuple[Marker, ...]:
    """Return the markers of all installed modalities, or of one."""
    return tuple(
        Marker(name, item.part.begin, item.part.end)
        for name, item in registry().provided("modalities")
        if only in (None, name)
    )


def split_marked(text: str, marks: Sequence[Marker]) -> list[tuple[str, str]]:
    """Return the pieces of a text around its markers: ("text", …) and (modality, "").

    An end marker directly after a begin marker is part of it.
    """
    pieces: list[tuple[str, str]] = []
    position = 0
    for match in _pattern(tuple(marks)).finditer(text):
        pieces.append(("text", text[position : match.start()]))
        pieces.append((marks[(match.lastindex or 1) - 1].kind, ""))
        position = match.end()
    pieces.append(("text", text[position:]))
    return [(kind, piece) for kind, piece in pieces if kind != "text" or piece]


@functools.lru_cache(maxsize=16)
def _pattern(marks: tuple[Marker, ...]) -> re.Pattern[str]:
    each = (rf"({re.escape(mark.begin)})(?:\s*{re.escape(mark.end)})?" for mark in marks)
    return re.compile("|".join(each) or r"(?!)")


def read_marked(
    turns: Sequence[Turn],
    media: Sequence[tuple[Medium, str | None]],
    marks: Sequence[Marker],
    where: str,
) -> dict[str, list[dict[str, Any]]]:
    """Return a record's `messages` and `media`, both as plain values.

    Args:
        turns: the messages in order.
        media: (path, modality) in the order of their markers; None if only the marker has it.
        marks: the markers to find.
        where: the position of the row, for errors.

        Raises:
            RecordError: markers and media do not match, or media are outside user turns.
    """
    kinds: list[str] = []
    messages = []
    for turn in turns:
        content: list[dict[str, Any]] = []
        for kind, text in split_marked(turn.text, marks):
            if kind == "text":
                content.append({"type": "text", "text": text})
                continue
            if turn.role != "user":
                raise RecordError(where, _not_there(turn, kind, marks))
            content.append({"type": kind, "media": len(kinds)})
            kinds.append(kind)
        messages.append({"role": turn.role, "content": content})
    _check_media(kinds, media, marks, where)
    refs = [{"kind": kind, "uri": uri} for kind, (uri, _) in zip(kinds, media, strict=True)]
    return {"messages": messages, "media": refs}


def _not_there(turn: Turn, kind: str, marks: Sequence[Marker]) -> str:
    begin = _begin(kind, marks)
    return (
        f"{turn.field}: {begin} marks a medium in a turn of role {turn.role!r}; put media into "
        "user turns (if it is only text, use the native format, which has no markers)"
    )


def _check_media(
    kinds: Sequence[str],
    media: Sequence[tuple[Medium, str | None]],
    marks: Sequence[Marker],
    where: str,
) -> None:
    if len(kinds) != len(media):
        begins = " ".join(_begin(kind, marks) for kind in kinds[:8])
        marked = f"{len(kinds)} ({begins}{' …' * (len(kinds) > 8)})" if kinds else "none"
        raise RecordError(
            where,
            f"the row lists {len(media)} media, but its text marks {marked}; each medium needs one "
            "marker in a user turn",
        )
    for number, (kind, (uri, known)) in enumerate(zip(kinds, media, strict=True), start=1):
        if known not in (None, kind):
            marked = f"marker {number} is {_begin(kind, marks)}"
            reason = f"{marked}, but its medium {shown(uri)[:80]!r} is given as {known}"
            raise RecordError(where, reason)


def mark_text(message: Message, marks: Sequence[Marker], where: str) -> str:
    """Return a message as one text with markers.

    Raises:
        RecordError: a medium has no marker, or the text contains one.
    """
    begins: Mapping[str, str] = {mark.kind: mark.begin for mark in marks}
    expected: list[tuple[str, str]] = []
    written = []
    for part in message.content:
        if part.text is None:
            if part.type not in begins:
                takes = ", ".join(sorted(begins))
                raise RecordError(
                    where, f"this format cannot hold {part.type!r} (it holds: {takes})"
                )
            written.append(begins[part.type])
            expected.append((part.type, ""))
        elif expected and expected[-1][0] == "text":
            written.append(part.text)
            expected[-1] = ("text", expected[-1][1] + part.text)
        elif part.text:
            written.append(part.text)
            expected.append(("text", part.text))
    text = "".join(written)
    if split_marked(text, marks) != expected:
        raise RecordError(
            where,
            "a text contains a marker, which this format would read as a medium; keep the record "
            "in the native format, or reword the text",
        )
    return text


def order_of_media(record: Record) -> list[int]:
    """Return the indices of a record's media in the order of its messages."""
    parts = (part for message in record.messages for part in message.content)
    return [part.media for part in parts if part.media is not None]


def media_in_order(record: Record) -> list[str]:
    """Return the paths of a record's media in the order of its messages."""
    return [record.media[index].uri for index in order_of_media(record)]


def paths_by_kind(record: Record) -> dict[str, list[str]]:
    """Return the paths of a record's media of each modality, in the order of its messages."""
    found: dict[str, list[str]] = {}
    for index in order_of_media(record):
        ref = record.media[index]
        found.setdefault(ref.kind, []).append(ref.uri)
    return found


def listed(record: Record) -> dict[str, list[str]]:
    """Return the lists of media beside the messages: `images`, `audios` and so on."""
    return {f"{kind}s": paths for kind, paths in sorted(paths_by_kind(record).items())}


def _begin(kind: str, marks: Sequence[Marker]) -> str:
    return next(mark.begin for mark in marks if mark.kind == kind)
