"""Chats in transformers' form: what `apply_chat_template` is given beside them, and their media."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from mmmodal.contracts.record import Message
from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Renderer
from mmmodal.errors import RenderError
from mmmodal.model.processing.arguments import Arguments, TextSettings
from mmmodal.model.processing.media import per_prompt, read_medium
from mmmodal.model.processing.prompts import with_special_tokens
from mmmodal.samples.collation import Sample
from mmmodal.samples.preparer import Preparer

__all__ = [
    "ChatError",
    "Ending",
    "as_chat_errors",
    "chat_samples",
    "chat_texts",
    "check_ending",
    "read_chats",
]


@dataclass(frozen=True)
class Ending:
    """How the text of a chat ends: with a whole message, or so that the model goes on."""

    add_generation_prompt: bool = False
    continue_final_message: bool = False


class ChatError(RenderError, TemplateError):
    """A chat that cannot be rendered: also an error of Jinja, which tools of transformers catch."""


@contextmanager
def as_chat_errors() -> Iterator[None]:
    """Raise a RenderError as a ChatError."""
    try:
        yield
    except RenderError as error:
        raise ChatError(str(error)) from None


def check_ending(ending: Ending, field: bool | str, masks: bool) -> None:
    """Raise a RenderError for arguments that contradict each other.

    Args:
        ending: how the text of a chat ends.
        field: the argument `continue_final_message`, which may name a field of the message.
        masks: whether the tokens of the assistant are to be marked.
    """
    if not isinstance(field, bool) and field != "content":
        raise RenderError(
            f"continue_final_message={field!r}: a message has only content; pass True"
        )
    if ending.continue_final_message and ending.add_generation_prompt:
        raise RenderError(
            "continue_final_message goes on with the last message, add_generation_prompt begins a "
            "new one; pass one of them"
        )
    if ending.continue_final_message and masks:
        raise RenderError(
            "return_assistant_tokens_mask needs whole answers; leave out continue_final_message"
        )


@dataclass(frozen=True)
class Chat:
    """The messages of a chat and its media, as (modality, value)."""

    messages: list[Message]
    media: list[tuple[str, Any]]
    """The value is None for a placeholder, `{"type": "image"}` without a medium."""


def read_chats(conversation: Any, modalities: Sequence[str]) -> tuple[list[Chat], bool]:
    """Return the chats of a list of chats, or a single one, and whether it was a single one.

    Raises:
        RenderError: it is neither, or a message cannot be read.
    """
    given = getattr(conversation, "messages", conversation)
    if not isinstance(given, list | tuple) or not given:
        raise RenderError("a chat is a list of messages, and at least one; several are a list")
    single = isinstance(given[0], Mapping)
    chats: list[Any] = [given] if single else [getattr(chat, "messages", chat) for chat in given]
    return [Chat(*read_messages(chat, modalities, placeholders=True)) for chat in chats], single


def chat_texts(
    chats: Sequence[Chat], preparer: Preparer, renderer: Renderer, ending: Ending
) -> list[str]:
    """Return the texts of chats, with the markers of each medium."""
    shown = {name: markup.shown for name, markup in preparer.markups.items()}
    return [
        renderer.text(chat.messages, [shown[kind] for kind, _ in chat.media], **asdict(ending))
        for chat in chats
    ]


def chat_samples(
    chats: Sequence[Chat],
    preparer: Preparer,
    renderer: Renderer,
    ending: Ending,
    arguments: Arguments,
) -> list[Sample]:
    """Return the samples of chats, with those media at placeholders that were given beside them.

    Raises:
        RenderError: there are placeholders, but nothing was given for them.
        SpliceError: there are more or fewer media than placeholders.
    """
    return [
        _sample(chat, preparer, renderer, ending, arguments.settings)
        for chat in _filled(chats, arguments.media, preparer)
    ]


def _sample(
    chat: Chat, preparer: Preparer, renderer: Renderer, ending: Ending, settings: TextSettings
) -> Sample:
    rate = settings.sampling_rate
    items = [(kind, read_medium(preparer, kind, value, rate)) for kind, value in chat.media]
    sample = preparer.prepare(chat.messages, items, renderer=renderer, **asdict(ending))
    bos = preparer.tokenizer.bos_token_id
    if settings.add_special_tokens and sample.input_ids[:1] != [bos]:
        return with_special_tokens(sample, preparer.tokenizer)
    return sample


def _filled(chats: Sequence[Chat], given: Mapping[str, Any], preparer: Preparer) -> list[Chat]:
    """Return chats with the media that were given beside them at their placeholders, in order."""
    kinds = {preparer.modality_named(keyword): value for keyword, value in given.items()}
    queues = {}
    for name, modality in preparer.modalities.items():
        counts = [sum(k == name and v is None for k, v in chat.media) for chat in chats]
        if name in kinds:
            lists = per_prompt(kinds[name], modality, counts, "parts without a medium")
            queues[name] = [iter(items) for items in lists]
        elif any(counts):
            raise RenderError(f"a part of type {name!r} has no medium; set {name!r} or 'path'")

    def value(name: str, known: Any, number: int) -> Any:
        return next(queues[name][number]) if known is None else known

    return [
        Chat(chat.messages, [(name, value(name, known, i)) for name, known in chat.media])
        for i, chat in enumerate(chats)
    ]
