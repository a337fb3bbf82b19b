"""The controls of a data set: what is asked again to see whether a model looks and listens.

Exchanging keeps the distribution of media and of questions, and only breaks what ties them to each
other: as asked, with media exchanged, with questions exchanged, with both (Madaan et al.,
"Multi-modal Data Spectrum", arXiv 2509.23499).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

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
) -> dict[str, Control]:
    """Return all controls of a data set by name, the same each time.

    For each modality these are `<modality> exchanged` and `<modality> left out`, then `question
    exchanged`, and `all exchanged`: media of all modalities and questions.

    Args:
        conversations: those of the data set.
        seed: which exchange it is; with 0, conversations are linked in the order of the data.
        content: returns what is the same for the same medium; by default its SHA-256 or its path.
    """
    order = list(range(len(conversations)))
    if seed:
        random.Random(seed).shuffle(order)
    kinds = dict.fromkeys(medium.kind for one in conversations for medium in one.record.media)
    controls = [
        control
        for kind in kinds
        for control in (
            with_media_exchanged(conversations, kind, order, content),
            with_media_left_out(conversations, kind),
        )
    ]
    controls.append(with_questions_exchanged(conversations, order))
    if kinds:
        media = [one for one in controls if one.name in {f"{kind} exchanged" for kind in kinds}]
        controls.append(_with_all_exchanged(conversations, media, order))
    return {control.name: control for control in controls}


def _with_all_exchanged(
    conversations: Sequence[Conversation], media: Sequence[Control], order: Sequence[int]
) -> Control:
    """Return the conversations that have media, with all of these and their questions exchanged.

    A turn is in it if it has another question, and a medium is shown up to it.
    """
    others = list(conversations)
    shown: dict[int, frozenset[int]] = {}
    refused: dict[int, str] = {}
    for control in media:
        refused = {**control.refused, **refused}
        for index, change in control.changed.items():
            others[index] = _with_other_media(others[index], conversations[index], change)
            shown[index] = shown.get(index, frozenset()) | change.turns
    asked = with_questions_exchanged(others, order)
    changed = {
        index: Change(asked.changed[index].conversation, turns)
        for index in sorted(shown.keys() & asked.changed.keys() - refused.keys())
        if (turns := shown[index] & asked.changed[index].turns)
    }
    refused |= {index: asked.refused[index] for index in asked.refused.keys() & shown.keys()}
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
