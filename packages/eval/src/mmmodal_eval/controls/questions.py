"""Conversations with the questions of others, about media of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmmodal.authoring.records import ContentPart, Message
from mmmodal_eval.cases import Conversation
from mmmodal_eval.controls.control import Change, Control, user_turns
from mmmodal_eval.controls.likeness import kinds_until, tags_of
from mmmodal_eval.controls.rings import Place, exchanged

__all__ = ["with_questions_exchanged"]


def with_questions_exchanged(
    conversations: Sequence[Conversation], order: Sequence[int]
) -> Control:
    """Return the conversations with the text of each user turn from the same turn of another.

    The other conversation has the same language and, if there is one, the same tags and the same
    media up to this turn. Media stay where they are.

    Args:
        conversations: those of the data set.
        order: the indices of conversations in the order in which they are linked.
    """
    places = [place for index in order for place in _places(conversations, index)]
    given: dict[int, dict[int, str]] = {}
    missing: dict[int, list[int]] = {}
    # One place further than media, so that not both come from the same conversation.
    for place, donor in exchanged(places, further=1).items():
        if donor is None:
            missing.setdefault(place.conversation, []).append(place.index)
        else:
            text = _text(conversations[donor.conversation], donor.index)
            given.setdefault(place.conversation, {})[place.index] = text
    changed = {
        index: Change(_exchanged(conversations[index], given[index]), frozenset(given[index]))
        for index in sorted(given)
    }
    refused = {index: _refusal(missing[index]) for index in sorted(missing)}
    return Control("question exchanged", changed, refused)


def _places(conversations: Sequence[Conversation], index: int) -> list[Place]:
    conversation = conversations[index]
    turns = list(enumerate(user_turns(conversation.record)))
    own = frozenset(_plain(message.text) for _, (_, message) in turns)
    return [
        Place(index, turn, _plain(message.text), own, _groups(conversation, turn, at))
        for turn, (at, message) in turns
        if message.text.strip()
    ]


def _groups(conversation: Conversation, turn: int, at: int) -> tuple[tuple[object, ...], ...]:
    lang, kinds = conversation.record.lang, kinds_until(conversation, at)
    like = lang, turn
    return (*like, tags_of(conversation), kinds), (*like, kinds), (*like, len(kinds)), like


def _plain(text: str) -> str:
    """Return what is the same for questions that differ in spaces and case only."""
    return " ".join(text.casefold().split())


def _text(conversation: Conversation, turn: int) -> str:
    return list(user_turns(conversation.record))[turn][1].text


def _exchanged(conversation: Conversation, given: dict[int, str]) -> Conversation:
    messages = list(conversation.record.messages)
    for turn, (at, message) in enumerate(user_turns(conversation.record)):
        if turn in given:
            messages[at] = _asking(message, given[turn])
    record = conversation.record.model_copy(update={"messages": tuple(messages)})
    return replace(conversation, record=record)


def _asking(message: Message, text: str) -> Message:
    """Return a message with another text, where its first text stands."""
    parts = [part for part in message.content if part.media is not None]
    first = next(place for place, part in enumerate(message.content) if part.media is None)
    parts.insert(first, ContentPart(type="text", text=text))
    return message.model_copy(update={"content": tuple(parts)})


def _refusal(turns: Sequence[int]) -> str:
    numbers = ", ".join(map(str, turns))
    return f"no other conversation of its language asks anything else in turn {numbers}"
