"""Kept answers: no question is asked twice of the same weights, by the same code.

The key of the answers to a conversation is all that they depend on: what the respondent is, the
messages as they are asked, and the bytes of the media.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from mmmodal.authoring.media import LimitSettings
from mmmodal.authoring.parts import MMModalError
from mmmodal.authoring.records import ContentPart, MediaRef, Message
from mmmodal_datagen.replay.store import Ask, ReplayStore
from mmmodal_eval.answers.contents import Contents
from mmmodal_eval.answers.respondent import Answered, Asked, History, Reply

__all__ = ["KeptAnswers", "Request"]

Request = Mapping[str, Any]
"""All that the answers to one conversation depend on."""


class KeptAnswers:
    """The answers in a folder, which several processes and machines may share."""

    def __init__(self, store: ReplayStore, limits: LimitSettings) -> None:
        self._store = store
        self.contents = Contents(store, limits)
        """The digests of media and of weights."""

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, limits: LimitSettings) -> Iterator[Self]:
        """Open the answers in a folder.

        Raises:
            StopRun: they cannot be read or written.
        """
        # Each process writes a file of its own, in the way that works on network file systems too.
        machine = re.sub(r"\W+", "-", platform.node()) or "machine"
        writer = f"{machine}-{os.environ.get('RANK', '0')}"
        store = ReplayStore(folder, writer=writer, shared=True)
        try:
            yield cls(store, limits)
        finally:
            store.close()

    def request(self, asked: Asked, respondent: str, history: History) -> Request:
        """Return the key of the answers to a conversation.

        Args:
            asked: the conversation.
            respondent: the digest of who is asked.
            history: the answers that later turns read.
        """
        return {
            "kind": "conversation",
            "respondent": respondent,
            "history": history,
            "messages": self._messages(asked, asked.record.messages, history),
            "choices": {str(turn): list(texts) for turn, texts in asked.choices.items()},
        }

    def messages(self, asked: Asked, turn: int) -> list[Any]:
        """Return the messages up to a user turn as JSON, with the digests of their media."""
        users = [i for i, each in enumerate(asked.record.messages) if each.role == "user"]
        return self._messages(asked, asked.record.messages[: users[turn] + 1], "gold")

    def _messages(
        self, asked: Asked, messages: Sequence[Message], history: History
    ) -> list[list[Any]]:
        shown = [[ref.kind, self._content(ref, asked.root)] for ref in asked.record.media]
        return [_read(message, shown, history) for message in messages]

    def _content(self, ref: MediaRef, root: Path) -> str:
        """Return the digest of a medium; of one that cannot be read, the reason."""
        try:
            return self.contents.of_medium(ref, root)
        except MMModalError as error:
            return f"not readable: {error}"

    def find(self, request: Request) -> list[Reply] | None:
        """Return the kept answers to a conversation, or None."""
        kept = self._store.find(request)
        return None if kept is None else [Reply.model_validate(each) for each in kept["replies"]]

    async def answer(self, request: Request, ask: Ask) -> Mapping[str, Any]:
        """Return the kept answer to one call; without one, call `ask` and keep its answer."""
        return (await self._store.answer(request, ask)).values

    def keep(self, answered: Answered, requests: Sequence[Request]) -> None:
        """Keep the answers that lasted, all or none: a batch is never kept in part."""
        rows = [
            (requests[index], {"replies": [_stored(each) for each in replies]})
            for index, replies in answered
            if all(each.is_lasting for each in replies)
        ]
        if rows:
            self._store.keep(rows)


def _read(message: Message, media: Sequence[list[str]], history: History) -> list[Any]:
    """Return a message as the model reads it: of its own answers, only where they are."""
    if message.role == "assistant" and history == "own":
        return [message.role]
    return [message.role, *(_part(part, media) for part in message.content)]


def _part(part: ContentPart, media: Sequence[list[str]]) -> str | list[str]:
    return part.text or "" if part.media is None else media[part.media]


def _stored(reply: Reply) -> dict[str, Any]:
    return reply.model_dump(mode="json", exclude_defaults=True)
