"""A conversation that grows turn by turn: its messages, their media, and its prompt."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmmodal.contracts.record import ContentPart, Message, text_message
from mmmodal.conversation.locating import IGNORE, TokenizedText
from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Rendered
from mmmodal.conversation.thoughts import with_opening
from mmmodal.conversation.truncation import Shortened, shorten
from mmmodal.errors import RenderError
from mmmodal.samples.preparer import PreparedMedium, Preparer

__all__ = ["Content", "Transcript"]

Content = str | Sequence[Any]
"""A text, or a list of texts and parts such as `{"type": "image", "path": "a.png"}`."""


class Transcript:
    """The messages so far, for a model. Each medium is read once, when it is added."""

    def __init__(
        self, preparer: Preparer, *, system: str | None = None, root: Path | None = None
    ) -> None:
        """Begin a conversation.

        Args:
            preparer: the preparer of the model.
            system: the system message in front of the first turn.
            root: the folder of relative media paths, outside of which no path may be; None: any
                path.
        """
        self.preparer = preparer
        self.root = root
        self.messages: list[Message] = [text_message("system", system)] if system else []
        self.media: list[PreparedMedium] = []
        """The media, by the index in parts of messages."""

        self.origins: list[str | None] = []
        """The path or data URI of each medium; None for an object."""

        self._before = TokenizedText("", [])
        """The last prompt, so that only the new part of the next one is tokenized."""

    def hear(self, content: Content, media: Mapping[str, Any] | None = None) -> None:
        """Add a user message and prepare its media; after an error nothing is added.

        Args:
            content: a text, or texts and media parts in their order.
            media: media in front of the text, by modality or its plural.

        Raises:
            RenderError: the message is empty, or the type of a part is unknown.
            MediaError: a medium cannot be read.
        """
        said = [content] if isinstance(content, str) else content
        parts = [*self._media_parts(media or {}), *said]
        (message,), items = read_messages(
            [{"role": "user", "content": parts}], self.preparer.modalities
        )
        if not items and not any((part.text or "").strip() for part in message.content):
            raise RenderError("the prompt is empty; give a text or a medium")
        first = len(self.media)
        try:
            for kind, value in items:
                self.attach(kind, value)
        except BaseException:
            self.forget(len(self.messages), first)
            raise
        shifted = [
            part if part.media is None else ContentPart(type=part.type, media=first + part.media)
            for part in message.content
        ]
        self.add(Message(role="user", content=tuple(shifted)))

    def attach(self, modality: str, value: Any) -> None:
        """Prepare a medium, to which messages refer by its index in `media`.

        Raises:
            MediaError: it cannot be read.
        """
        item = self.preparer.read(modality, value, root=self.root)
        self.media.append(self.preparer.preprocess(modality, item))
        self.origins.append(str(value) if isinstance(value, str | Path) else None)

    def add(self, message: Message) -> None:
        """Add a message."""
        self.messages.append(message)

    def answer(self, text: str) -> None:
        """Add an answer of the assistant to the last prompt, with the thought that this opened."""
        self.add(text_message("assistant", with_opening(text, self._before.text)))

    def forget(self, messages: int, media: int) -> None:
        """Keep the first `messages` messages and `media` media."""
        del self.messages[messages:], self.media[media:], self.origins[media:]

    def prompt(self, context: int, max_new_tokens: int) -> Shortened:
        """Return the prompt for the next answer, without the oldest turns if it is too long.

        Args:
            context: the maximum number of tokens of prompt and answer.
            max_new_tokens: the maximum length of the answer, for which up to a quarter of the
                context is kept free while more than one turn is left.

        Raises:
            RenderError: it cannot be rendered, or its last turn alone exceeds the context.
        """
        room = min(max_new_tokens, context // 4)
        allowed_by = f"the model's context of {context}"
        layouts = [medium.layout for medium in self.media]

        def render(messages: Sequence[Message]) -> Rendered:
            rendered, self._before = self.preparer.renderer.prompt(messages, layouts, self._before)
            return rendered

        # One token of the context is for the answer.
        return shorten(render, self.messages, layouts, context - 1, allowed_by, room=room)

    def answer_ids(self, prompt: Shortened, text: str) -> list[int]:
        """Return the ids of a text as the answer to a prompt, as they are learned, without its end.

        Args:
            prompt: a prompt of this conversation, from `prompt`.
            text: the answer.

        Raises:
            RenderError: nothing would be learned of it behind this prompt.
        """
        renderer, start = self.preparer.renderer, prompt.tokens
        messages = [*prompt.messages, text_message("assistant", text)]
        rendered = renderer.render(messages, [medium.layout for medium in self.media])
        ends = {IGNORE, *renderer.turn_end_ids()}
        ids = list(itertools.takewhile(lambda id_: id_ not in ends, rendered.labels[start:]))
        if not ids or rendered.input_ids[:start] != prompt.rendered.input_ids:
            raise RenderError(
                f"nothing of the answer {text!r:.80} would be learned behind this prompt, as it is "
                "empty, or the chat template writes it elsewhere; give another one"
            )
        return ids

    def _media_parts(self, media: Mapping[str, Any]) -> list[dict[str, Any]]:
        parts = []
        for keyword, values in media.items():
            kind = self.preparer.modality_named(keyword)
            items = self.preparer.modalities[kind].items(values)
            parts += [{"type": kind, "data": item} for item in items]
        return parts
