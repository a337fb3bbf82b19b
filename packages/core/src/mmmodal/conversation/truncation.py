"""Shorten a conversation to the model's context by dropping whole turns, the oldest first."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmmodal.contracts.record import Message
from mmmodal.conversation.layout import Layout
from mmmodal.conversation.rendering import Rendered
from mmmodal.errors import RenderError

__all__ = ["Shortened", "shorten"]


@dataclass(frozen=True)
class Shortened:
    """A conversation that fits the limit, and the messages that were dropped."""

    rendered: Rendered
    messages: tuple[Message, ...]
    """Those that are kept."""

    dropped: tuple[Message, ...] = ()
    turns: int = 0
    """The number of dropped turns; a turn is a user message with its answer."""

    @property
    def tokens(self) -> int:
        """The number of its tokens, slots included."""
        return len(self.rendered.input_ids)

    def summary(self) -> str:
        """Return a description of the dropped turns, for users."""
        kinds = Counter(part.type for m in self.dropped for part in m.content if part.text is None)
        media = "".join(f", {count} × {kind}" for kind, count in sorted(kinds.items()))
        turns = "oldest turn was" if self.turns == 1 else f"{self.turns} oldest turns were"
        return f"the {turns} left out ({len(self.dropped)} messages{media})"


def shorten(
    render: Callable[[Sequence[Message]], Rendered],
    messages: Sequence[Message],
    layouts: Sequence[Layout],
    limit: int,
    allowed_by: str,
    *,
    room: int = 0,
) -> Shortened:
    """Render a conversation without as many of the oldest turns as exceed the limit.

    System messages in front are kept. A turn is dropped with its media, so no run of slots is cut.

    Args:
        render: a function that renders messages, which also counts their tokens.
        messages: the turns.
        layouts: the slots of each medium, by its index.
        limit: the maximum number of tokens, slots included.
        allowed_by: the origin of the limit, for the error.
        room: the number of tokens to keep free while more than one turn is left.

    Raises:
        RenderError: the last turn alone exceeds the limit.
    """

    front, turns = _split(messages)

    def without(count: int) -> Shortened:
        kept = (*front, *itertools.chain.from_iterable(turns[count:]))
        dropped = tuple(itertools.chain.from_iterable(turns[:count]))
        return Shortened(render(kept), kept, dropped, count)

    whole = without(0)
    if whole.tokens <= limit - room:
        return whole
    low, high = 0, max(len(turns) - 1, 0)  # numbers of dropped turns: too few, enough
    best = without(high)
    if best.tokens > limit:
        raise _too_long(best.rendered, layouts, limit, allowed_by)
    while high - low > 1:
        middle = (low + high) // 2
        attempt = without(middle)
        if attempt.tokens <= limit - room:
            high, best = middle, attempt
        else:
            low = middle
    return best


def _split(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """Return the system messages in front, and the turns; each turn begins with a user message."""
    front: list[Message] = []
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "system" and not turns:
            front.append(message)
        elif turns and (message.role != "user" or turns[-1][-1].role == "user"):
            turns[-1].append(message)
        else:
            turns.append([message])
    return front, turns


def _too_long(
    rendered: Rendered, layouts: Sequence[Layout], limit: int, allowed_by: str
) -> RenderError:
    runs = [layouts[index] for index in rendered.media]
    slots = sum(run if isinstance(run, int) else sum(run) for run in runs)
    return RenderError(
        f"one turn alone takes {len(rendered.input_ids)} tokens with its media ({slots} slots), "
        f"more than the {limit} that {allowed_by} allows; shorten it or use fewer media"
    )
