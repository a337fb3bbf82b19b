"""Media that a row lists beside its messages: `images`, whose places the messages mark."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.addresses import Medium, addresses
from mmmodal.records.inline import Turn, markers, read_marked, split_marked

__all__ = ["Beside", "check_counts", "list_keys", "media_beside", "read_beside"]


class Beside(NamedTuple):
    """The media of one modality that a row lists."""

    key: str
    uris: tuple[Medium, ...]


@functools.cache
def list_keys() -> Mapping[str, str]:
    """Return the modality of each key that lists media: its name, and the plural."""
    return {key: name for name in registry().names("modalities") for key in (f"{name}s", name)}


def media_beside(row: Mapping[str, Any], where: str) -> dict[str, Beside]:
    """Return the media that a row lists, by modality; an empty list is one, null is none.

    Raises:
        RecordError: an item is no medium, or two keys of a modality differ.
    """
    found: dict[str, Beside] = {}
    for key, kind in list_keys().items():
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
    return found


def read_beside(
    turns: Sequence[Turn], beside: Mapping[str, Beside], where: str
) -> dict[str, list[dict[str, Any]]]:
    """Return `messages` and `media` of turns whose texts mark the listed media of each modality.

    Raises:
        RecordError: the numbers differ, or media are marked outside of user turns.
    """
    marks = markers()
    kinds = [
        kind
        for turn in turns
        if turn.role == "user"
        for kind, _ in split_marked(turn.text, marks)
        if kind != "text"
    ]
    check_counts({kind: kinds.count(kind) for kind in kinds}, beside, where)
    queues = {kind: iter(each.uris) for kind, each in beside.items()}
    return read_marked(turns, [(next(queues[kind]), kind) for kind in kinds], marks, where)


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
