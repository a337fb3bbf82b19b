"""A control: the same conversations, asked again with something exchanged or left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmmodal.authoring.records import Message, Record
from mmmodal_eval.cases import Conversation

__all__ = ["Change", "Control", "turns_with", "user_turns"]


@dataclass(frozen=True)
class Change:
    """A conversation as a control asks it. What is expected of its answers stays as it was."""

    conversation: Conversation
    turns: frozenset[int]
    """The user turns, from 0, whose questions differ from those asked; answers to others are none
    of the control's, for there is nothing else to see."""


@dataclass(frozen=True)
class Control:
    """The conversations of a data set under one control, by their indices among those asked."""

    name: str
    """What is changed: `image exchanged`, `audio left out`, `question exchanged`."""

    changed: Mapping[int, Change]
    refused: Mapping[int, str]
    """Why a conversation that has what is exchanged or left out is not changed, wholly or in some
    of its turns. Conversations in neither have nothing of it."""


def user_turns(record: Record) -> Iterator[tuple[int, Message]]:
    """Yield the index and the message of each user turn."""
    for index, message in enumerate(record.messages):
        if message.role == "user":
            yield index, message


def turns_with(record: Record, kind: str) -> frozenset[int]:
    """Return the user turns, from 0, up to which a medium of that kind is shown."""
    first = next(
        index
        for index, message in enumerate(record.messages)
        if any(part.type == kind for part in message.content)
    )
    places = [index for index, _ in user_turns(record)]
    return frozenset(turn for turn, index in enumerate(places) if index >= first)
