"""What makes conversations alike enough to exchange something between them."""

from __future__ import annotations

from mmmodal_eval.cases import Conversation

__all__ = ["kinds_until", "tags_of"]


def tags_of(conversation: Conversation) -> tuple[str, ...]:
    """Return the tags of all turns of a conversation, sorted: its task, as far as it says."""
    expected = [message.expect for message in conversation.record.messages]
    return tuple(sorted({tag for one in expected if one is not None for tag in one.tags}))


def kinds_until(conversation: Conversation, message: int) -> tuple[str, ...]:
    """Return the kinds of all media up to a message, in their order."""
    messages = conversation.record.messages[: message + 1]
    return tuple(part.type for one in messages for part in one.content if part.media is not None)
