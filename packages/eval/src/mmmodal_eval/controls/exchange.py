"""The controls of a data set: what is asked again to see whether a model looks and listens.

Exchanging keeps the distribution of media and of questions, and only breaks what ties them to each
other: as asked, with media exchanged, with questions exchanged, with both (Madaan et al.,
"Multi-modal Data Spectrum", arXiv 2509.23499).
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from mmmodal.authoring.parts import ConfigError, suggest
from mmmodal.authoring.records import MediaRef
from mmmodal_eval.cases import Conversation
from mmmodal_eval.controls.control import Change, Control
from mmmodal_eval.controls.media import content_of, with_media_exchanged, with_media_left_out
from mmmodal_eval.controls.questions import with_questions_exchanged

__all__ = ["controls_of"]


def controls_of(
    conversations: Sequence[Conversation],
    seed: int = 0,
    content: Callable[[Conversation, MediaRef], Hashable] = content_of,
    names: Sequence[str] | None = None,
) -> dict[str, Control]:
    """Return the controls of a data set by name, the same each time.

    For each modality these are `<modality> exchanged` and `<modality> left out`, of several ones
    `media exchanged`, which exchanges the media of all of them, then `question exchanged`, and `all
    exchanged`: media of all modalities and questions.

    Args:
        conversations: those of the data set.
        seed: which exchange it is; with 0, conversations are linked in the order of the data.
        content: returns what is the same for the same medium; by default its SHA-256 or its path.
        names: those that are wanted; None: all.

    Raises:
        ConfigError: the data set has no control of a name.
    """
    order = list(range(len(conversations)))
    if seed:
        random.Random(seed).shuffle(order)
    making = _Making(conversations, order, content)
    ways = making.ways()
    if names is None:
        return {name: make() for name, make in ways.items()}
    if unknown := [name for name in names if name not in ways]:
        hints = [f"{name!r} is none of them{suggest(name, ways)}" for name in unknown]
        raise ConfigError("controls of these data", hints)
    return {name: ways[name]() for name in dict.fromkeys(names)}


class _Making:
    """The controls of one data set, each made when it is wanted."""

    def __init__(
        self,
        conversations: Sequence[Conversation],
        order: Sequence[int],
        content: Callable[[Conversation, MediaRef], Hashable],
    ) -> None:
        self._conversations, self._order, self._content = conversations, order, content
        self._exchanged = functools.cache(self._exchange)
        media = (medium for one in conversations for medium in one.record.media)
        self._kinds = list(dict.fromkeys(medium.kind for medium in media))

    def ways(self) -> dict[str, Callable[[], Control]]:
        """Return what makes each control, by its name."""
        found: dict[str, Callable[[], Control]] = {}
        for kind in self._kinds:
            found[f"{kind} exchanged"] = functools.partial(self._exchanged, kind)
            found[f"{kind} left out"] = functools.partial(
                with_media_left_out, self._conversations, kind
            )
        if len(self._kinds) > 1:
            found["media exchanged"] = self._media_exchanged
        found["question exchanged"] = functools.partial(
            with_questions_exchanged, self._conversations, self._order
        )
        if self._kinds:
            found["all exchanged"] = self._all_exchanged
        return found

    def _exchange(self, kind: str) -> Control:
        return with_media_exchanged(self._conversations, kind, self._order, self._content)

    def _media_exchanged(self) -> Control:
        """Return the conversations with the media of all modalities exchanged."""
        others = list(self._conversations)
        turns: dict[int, frozenset[int]] = {}
        refused: dict[int, str] = {}
        for control in map(self._exchanged, self._kinds):
            refused = {**control.refused, **refused}
            for index, change in control.changed.items():
                others[index] = _with_other_media(others[index], self._conversations[index], change)
                turns[index] = turns.get(index, frozenset()) | change.turns
        changed = {
            index: Change(others[index], turns[index])
            for index in sorted(turns.keys() - refused.keys())
        }
        return Control("media exchanged", changed, dict(sorted(refused.items())))

    def _all_exchanged(self) -> Control:
        """Return the conversations that have media, with all of these and questions exchanged.

        A turn is in it if it has another question, and a medium is shown up to it.
        """
        media = self._media_exchanged()
        others = list(self._conversations)
        for index, change in media.changed.items():
            others[index] = change.conversation
        asked = with_questions_exchanged(others, self._order)
        changed = {
            index: Change(asked.changed[index].conversation, turns)
            for index in sorted(media.changed.keys() & asked.changed.keys())
            if (turns := media.changed[index].turns & asked.changed[index].turns)
        }
        having = media.changed.keys() | media.refused.keys()
        left = {index: asked.refused[index] for index in asked.refused.keys() & having}
        refused = {**media.refused, **left}
        return Control("all exchanged", changed, dict(sorted(refused.items())))


def _with_other_media(
    conversation: Conversation, asked: Conversation, change: Change
) -> Conversation:
    """Return a conversation with the media that a change gives to it as it was asked."""
    media = tuple(
        kept if new is old else new
        for kept, old, new in zip(
            conversation.record.media,
            asked.record.media,
            change.conversation.record.media,
            strict=True,
        )
    )
    record = conversation.record.model_copy(update={"media": media})
    return replace(conversation, record=record)
