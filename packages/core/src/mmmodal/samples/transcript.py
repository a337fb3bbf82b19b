"""A conversation that goes on turn by turn: its messages, their media, and the prompt so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmmodal.contracts.record import ContentPart, Message, text_message
from mmmodal.conversation.locating import TokenizedText
from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Rendered
from mmmodal.conversation.truncation import Shortened, shorten
from mmmodal.errors import RenderError
from mmmodal.samples.preparer import PreparedMedium, Preparer

__all__ = ["Content", "Transcript"]

Content = str | Sequence[Any]
"""A text, or a list of texts and parts such as `{"type": "image", "path": "a.png"}`."""


class Transcript:
    """What was said so far, as a model is to read it. Each medium is read once, when it comes."""

    def __init__(
        self, preparer: Preparer, *, system: str | None = None, root: Path | None = None
    ) -> None:
        """Begin a conversation.

        Args:
            preparer: of the model that reads it.
            system: what the model is told before the first turn.
            root: where relative media paths begin, which none may leave; None: anywhere.
        """
        self.preparer = preparer
        self.root = root
        self.messages: list[Message] = [text_message("system", system)] if system else []
        self.media: list[PreparedMedium] = []
        """The media, by the index that parts of messages have."""

        self.origins: list[str | None] = []
        """The path or data URI of each medium; None of one that was given as an object."""

        self._before = TokenizedText("", [])
        """The prompt before this one: each is tokenized from where it is new."""

    def hear(self, content: Content, media: Mapping[str, Any] | None = None) -> None:
        """Add a user's turn and prepare its media; where that fails, nothing is added.

        Args:
            content: a text, or texts and media parts in the order in which they are to be read.
            media: items before the text, by modality or its plural.

        Raises:
            RenderError: nothing was said, or a part is of no known type.
            MediaError: a medium cannot be read.
        """
        said = [content] if isinstance(content, str) else content
        parts = [*self._media_parts(media or {}), *said]
        (message,), items = read_messages(
            [{"role": "user", "content": parts}], self.preparer.modalities
        )
        if not items and not any((part.text or "").strip() for part in message.content):
            raise RenderError("the prompt is empty; say something or give a medium")
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
        """Prepare a medium; messages that are added refer to it by its place in `media`.

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
        """Add what the assistant says."""
        self.add(text_message("assistant", text))

    def forget(self, messages: int, media: int) -> None:
        """Keep so many messages and media, from the first."""
        del self.messages[messages:], self.media[media:], self.origins[media:]

    def prompt(self, limit: int, allowed_by: str, room: int = 0) -> Shortened:
        """Return the conversation as the model reads it before it answers.

        Args:
            limit: the most tokens; the oldest turns are left out of a longer one.
            allowed_by: what sets the limit, for the error.
            room: tokens to leave free, as long as there is a turn that can go for it.

        Raises:
            RenderError: it cannot be rendered, or its last turn alone is longer than that.
        """
        layouts = [medium.layout for medium in self.media]

        def render(messages: Sequence[Message]) -> Rendered:
            rendered, self._before = self.preparer.renderer.prompt(messages, layouts, self._before)
            return rendered

        return shorten(render, self.messages, layouts, limit, allowed_by, room=room)

    def _media_parts(self, media: Mapping[str, Any]) -> list[dict[str, Any]]:
        parts = []
        for keyword, values in media.items():
            kind = self.preparer.modality_named(keyword)
            items = values if isinstance(values, list | tuple) else [values]
            parts += [{"type": kind, "data": item} for item in items]
        return parts
