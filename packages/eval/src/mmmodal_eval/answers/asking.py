"""Conversations as they are asked: up to the last turn that is scored, with what that needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmmodal.authoring.records import ContentPart, Message, Record
from mmmodal_eval.answers.respondent import Asked
from mmmodal_eval.cases import Case, Conversation
from mmmodal_eval.contracts import Scorer

__all__ = ["asked_of"]


def asked_of(
    conversation: Conversation, cases: Sequence[Case], scorers: Mapping[str, Scorer]
) -> Asked:
    """Return what is asked for the cases of a conversation.

    Args:
        conversation: the record, or one that was changed for a control.
        cases: its scored turns; at least one.
        scorers: the scorers of the cases, by `Case.scored_by`.
    """
    last = max(case.turn for case in cases)
    choices = {
        case.turn: scorers[case.scored_by].ranked(case.expected)
        for case in cases
        if scorers[case.scored_by].ranks_choices
    }
    return Asked(_up_to(conversation.record, last), conversation.root, choices)


def _up_to(record: Record, turn: int) -> Record:
    """Return a record up to a user turn, and its media, which are numbered anew."""
    asked = [index for index, message in enumerate(record.messages) if message.role == "user"]
    messages = record.messages[: asked[turn] + 1]
    shown = [p.media for message in messages for p in message.content if p.media is not None]
    if len(set(shown)) == len(record.media):
        return record.model_copy(update={"messages": messages})
    places = {old: new for new, old in enumerate(sorted(set(shown)))}
    return record.model_copy(
        update={
            "messages": tuple(_renumbered(message, places) for message in messages),
            "media": tuple(record.media[old] for old in places),
        }
    )


def _renumbered(message: Message, places: dict[int, int]) -> Message:
    parts = tuple(_moved(part, places) for part in message.content)
    return message.model_copy(update={"content": parts})


def _moved(part: ContentPart, places: dict[int, int]) -> ContentPart:
    return part if part.media is None else part.model_copy(update={"media": places[part.media]})
