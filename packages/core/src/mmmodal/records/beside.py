"""Media that a row lists beside its messages: `images`, whose places the messages mark."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.addresses import Medium, addresses
from mmmodal.records.inline import Turn, markers, read_marked, split_marked
from mmmodal.records.json_text import printable

__all__ = [
    "Beside",
    "check_counts",
    "list_keys",
    "media_beside",
    "read_beside",
    "read_listed",
]

TAG = re.compile(r"<(img|image|audio|video)>[^<>\n]*\.\w{2,5}\s*</\1>", re.IGNORECASE)
"""The path of a medium inside a text."""


class Beside(NamedTuple):
    """The media of one modality that a row lists."""

    key: str
    uris: tuple[Medium, ...]


@functools.cache
def list_keys() -> Mapping[str, str]:
    """Return the modality of each key that lists media: its name, and the plural."""
    return {key: name for name in registry().names("modalities") for key in (f"{name}s", name)}


def media_beside(
    row: Mapping[str, Any], where: str, keys: Mapping[str, str] | None = None
) -> dict[str, Beside]:
    """Return the media that a row lists, by modality in the order of its keys.

    An empty list is one, null is none.

    Args:
        row: the row.
        where: its position, for errors.
        keys: the modality of each key that lists media; by default those of `list_keys`.

    Raises:
        RecordError: an item is no medium, or two keys of a modality differ.
    """
    found: dict[str, Beside] = {}
    for key, kind in (list_keys() if keys is None else keys).items():
        if row.get(key) is None:
            continue
        try:
            beside = Beside(key, addresses(row[key], kind))
        except ValueError as error:
            raise RecordError(where, f"{key!r}: {error}") from None
        if kind in found and found[kind].uris != beside.uris:
            both = f"{found[kind].key!r} and {key!r}"
            raise RecordError(where, f"media are listed under {both}; keep one")
        found.setdefault(kind, beside)
    order = list(row)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].key)))


def read_listed(
    turns: Sequence[Turn], beside: Mapping[str, Beside], where: str
) -> dict[str, list[dict[str, Any]]]:
    """Return `messages` and `media` of turns as `read_beside` does.

    If no text marks a medium, all stand before the first question, as other trainers put them.

    Raises:
        RecordError: the numbers differ, media are marked outside of user turns, or a text holds
            the path of a medium.
    """
    marks, turns = markers(), list(turns)
    if not any(kind != "text" for turn in turns for kind, _ in split_marked(turn.text, marks)):
        begins = {mark.kind: mark.begin for mark in marks}
        every = "".join(begins[kind] * len(each.uris) for kind, each in beside.items())
        first = next((index for index, turn in enumerate(turns) if turn.role == "user"), None)
        if first is not None:
            turns[first] = turns[first]._replace(text=every + turns[first].text)
    return read_beside(turns, beside, where)


def read_beside(
    turns: Sequence[Turn],
    beside: Mapping[str, Beside],
    where: str,
    kinds: Collection[str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return `messages` and `media` of turns whose texts mark the listed media of each modality.

    Args:
        turns: the messages.
        beside: the listed media.
        where: the position of the row, for errors.
        kinds: the modalities whose markers are no text; by default all.

    Raises:
        RecordError: the numbers differ, media are marked outside of user turns, or a text holds
            the path of a medium.
    """
    check_tags(turns, where)
    marks = tuple(mark for mark in markers() if kinds is None or mark.kind in kinds)
    marked = [
        kind
        for turn in turns
        if turn.role == "user"
        for kind, _ in split_marked(turn.text, marks)
        if kind != "text"
    ]
    check_counts({kind: marked.count(kind) for kind in marked}, beside, where)
    queues = {kind: iter(each.uris) for kind, each in beside.items()}
    return read_marked(turns, [(next(queues[kind]), kind) for kind in marked], marks, where)


def check_tags(turns: Sequence[Turn], where: str) -> None:
    """Check that no text holds the path of a medium, as `<img>a.png</img>` of Qwen-VL.

    Raises:
        RecordError: one does.
    """
    for turn in turns:
        if tag := TAG.search(turn.text):
            reason = "holds the path of a medium; list it beside the messages and mark its place"
            raise RecordError(where, printable(f"{turn.field}: {tag[0]!r:.80} {reason}"))


def check_counts(marked: Mapping[str, int], beside: Mapping[str, Beside], where: str) -> None:
    """Check that messages mark as many media of each modality as the row lists.

    Raises:
        RecordError: they do not.
    """
    for kind in sorted({*marked, *beside}):
        key, uris = beside.get(kind, Beside(f"{kind}s", ()))
        if len(uris) != marked.get(kind, 0):
            begin = next(mark.begin for mark in markers(kind))
            place = f'by {begin} in the text of a user turn, or by {{"type": "{kind}"}}'
            reason = f"{key!r} lists {len(uris)} media, but the messages mark {marked.get(kind, 0)}"
            raise RecordError(where, f"{reason}; mark the place of each {place}")
