"""Conversations with the media of one modality exchanged, or left out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from mmmodal.authoring.records import ContentPart, MediaRef, Message, Record
from mmmodal_eval.cases import Conversation
from mmmodal_eval.controls.control import Change, Control, turns_with
from mmmodal_eval.controls.likeness import tags_of
from mmmodal_eval.controls.rings import Place, exchanged

__all__ = ["content_of", "with_media_exchanged", "with_media_left_out"]


def content_of(conversation: Conversation, medium: MediaRef) -> Hashable:
    """Return what names the content of a medium as far as it is known without reading it."""
    return medium.sha256 or (str(conversation.root), medium.uri)


def with_media_exchanged(
    conversations: Sequence[Conversation],
    kind: str,
    order: Sequence[int],
    content: Callable[[Conversation, MediaRef], Hashable] = content_of,
) -> Control:
    """Return the conversations with media of others: of that kind, at the same places.

    Media are exchanged among conversations of the same tags and language if there are enough, and
    never for one with the content of one of the conversation's own.

    Args:
        conversations: those of the data set.
        kind: the modality whose media are exchanged.
        order: the indices of conversations in the order in which they are linked.
        content: returns what is the same for the same medium.
    """
    places = [place for index in order for place in _places(conversations, index, kind, content)]
    given: dict[int, dict[int, MediaRef]] = {}
    refused: dict[int, str] = {}
    for place, donor in exchanged(places).items():
        if donor is None:
            refused[place.conversation] = (
                f"there are too few different media of kind {kind!r} in other conversations"
            )
        else:
            medium = conversations[donor.conversation].record.media[donor.index]
            given.setdefault(place.conversation, {})[place.index] = medium
    changed = {
        index: _exchanged(conversations[index], kind, given[index])
        for index in sorted(given.keys() - refused.keys())
    }
    return Control(f"{kind} exchanged", changed, dict(sorted(refused.items())))


def _places(
    conversations: Sequence[Conversation],
    index: int,
    kind: str,
    content: Callable[[Conversation, MediaRef], Hashable],
) -> list[Place]:
    conversation = conversations[index]
    root, lang = str(conversation.root), conversation.record.lang
    groups = (root, lang, tags_of(conversation)), (root, lang), root
    media = [
        (number, content(conversation, medium))
        for number, medium in enumerate(conversation.record.media)
        if medium.kind == kind
    ]
    own = frozenset(name for _, name in media)
    return [Place(index, number, name, own, groups) for number, name in media]


def _exchanged(conversation: Conversation, kind: str, given: dict[int, MediaRef]) -> Change:
    record = conversation.record
    media = tuple(given.get(index, medium) for index, medium in enumerate(record.media))
    changed = record.model_copy(update={"media": media})
    return Change(replace(conversation, record=changed), turns_with(record, kind))


def with_media_left_out(conversations: Sequence[Conversation], kind: str) -> Control:
    """Return the conversations without their media of that kind; texts stay as they are.

    A conversation is refused if nothing were left of one of its messages, as of a spoken question.
    """
    changed: dict[int, Change] = {}
    refused: dict[int, str] = {}
    for index, conversation in enumerate(conversations):
        record = conversation.record
        if all(medium.kind != kind for medium in record.media):
            continue
        messages = [_without(message, kind) for message in record.messages]
        empty = [number for number, message in enumerate(messages) if _is_empty(message)]
        if empty:
            refused[index] = f"message {empty[0]} would be empty, as it is {kind} alone"
            continue
        rest = replace(conversation, record=_with_media_of(record, messages))
        changed[index] = Change(rest, turns_with(record, kind))
    return Control(f"{kind} left out", changed, refused)


def _without(message: Message, kind: str) -> Message:
    left = tuple(part for part in message.content if part.type != kind)
    return message if left == message.content else message.model_copy(update={"content": left})


def _is_empty(message: Message) -> bool:
    return not message.text.strip() and all(part.media is None for part in message.content)


def _with_media_of(record: Record, messages: Sequence[Message]) -> Record:
    """Return a record of messages with the media that they still refer to."""
    used = sorted({p.media for message in messages for p in message.content if p.media is not None})
    places = {old: new for new, old in enumerate(used)}
    moved = tuple(
        message.model_copy(update={"content": tuple(_moved(p, places) for p in message.content)})
        for message in messages
    )
    return record.model_copy(
        update={"messages": moved, "media": tuple(record.media[old] for old in used)}
    )


def _moved(part: ContentPart, places: dict[int, int]) -> ContentPart:
    return part if part.media is None else part.model_copy(update={"media": places[part.media]})
