"""Cases: the questions of records whose answers are scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmmodal.authoring.records import Expectation, Message, Record
from mmmodal_eval.contracts import Expected

__all__ = ["Case", "Conversation", "cases_of", "clusters_of"]


@dataclass(frozen=True)
class Conversation:
    """One record of a data set, with where it came from."""

    record: Record
    root: Path
    """The folder of relative media paths."""

    where: str
    """The file and row, for errors."""


@dataclass(frozen=True)
class Case:
    """One scored turn of a conversation."""

    conversation: Conversation
    turn: int
    """The number of the user's turn, from 0."""

    expected: Expected
    scorer: str
    cluster: str
    """The name of what this case is not independent of."""

    modalities: tuple[str, ...]
    """The kinds of media in the conversation up to this turn, sorted."""

    media: int
    """The number of media in the conversation up to this turn."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """The options of the scorer."""

    tags: tuple[str, ...] = ()

    @property
    def scored_by(self) -> str:
        """What cases share that one scorer scores: its name, and its options if it has some."""
        given = json.dumps(dict(self.options), sort_keys=True, ensure_ascii=False)
        return f"{self.scorer} {given}" if self.options else self.scorer


def cases_of(
    conversations: Sequence[Conversation], scorer: str, options: Mapping[str, Any] | None = None
) -> list[Case]:
    """Return the cases of all conversations, in their order.

    Args:
        conversations: the records of a data set; all of them, as clusters are found among them.
        scorer: the name of the scorer of turns that name none.
        options: the options of that scorer.
    """
    clusters = clusters_of(conversations)
    return [
        _case(conversation, turn, asked, answer, cluster, (scorer, options or {}))
        for conversation, cluster in zip(conversations, clusters, strict=True)
        for turn, asked, answer in _turns(conversation.record)
        if answer.expect is None or answer.expect.scored
    ]


def _turns(record: Record) -> Iterator[tuple[int, int, Message]]:
    """Yield the number of each answered turn, the index of its question, and its answer."""
    turn, asked = -1, None
    for index, message in enumerate(record.messages):
        if message.role == "user":
            turn, asked = turn + 1, index
        elif message.role == "assistant" and asked is not None:
            yield turn, asked, message
            asked = None


def _case(
    conversation: Conversation,
    turn: int,
    asked: int,
    answer: Message,
    cluster: str,
    default: tuple[str, Mapping[str, Any]],
) -> Case:
    record, expect = conversation.record, answer.expect or Expectation()
    scorer, options = default if expect.scorer is None else (expect.scorer, expect.options)
    shown = {
        part.media
        for message in record.messages[: asked + 1]
        for part in message.content
        if part.media is not None
    }
    return Case(
        conversation,
        turn,
        Expected(
            references=expect.references or (answer.text,),
            choices=expect.choices,
            language=record.lang,
            question=record.messages[asked].text,
        ),
        scorer,
        cluster,
        modalities=tuple(sorted({record.media[index].kind for index in shown})),
        media=len(shown),
        options=options,
        tags=expect.tags,
    )


def clusters_of(conversations: Sequence[Conversation]) -> list[str]:
    """Return the name of the cluster of each conversation.

    It is the record's `cluster`. Records without one that share a medium, however indirectly, are
    one cluster, named by the first of them.
    """
    leaders = list(range(len(conversations)))
    first: dict[tuple[str, ...], int] = {}
    for index, conversation in enumerate(conversations):
        if conversation.record.cluster is None:
            for medium in _media(conversation):
                _join(leaders, first.setdefault(medium, index), index)
    return [
        conversation.record.cluster or conversations[_leader(leaders, index)].record.id
        for index, conversation in enumerate(conversations)
    ]


def _media(conversation: Conversation) -> Iterator[tuple[str, ...]]:
    """Yield what names the content of each medium, as far as it is known without reading it."""
    for ref in conversation.record.media:
        yield (ref.sha256,) if ref.sha256 else (str(conversation.root), ref.uri)


def _leader(leaders: list[int], index: int) -> int:
    while leaders[index] != index:
        leaders[index] = leaders[leaders[index]]
        index = leaders[index]
    return index


def _join(leaders: list[int], one: int, other: int) -> None:
    """Join two clusters; the earlier conversation leads."""
    low, high = sorted((_leader(leaders, one), _leader(leaders, other)))
    leaders[high] = low
