"""Generate the answers to the prompts of many dialogues together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.answering.dialogues import Answer
from mmmodal.answering.media import joined
from mmmodal.answering.turns import Turn
from mmmodal.conversation.rendering import IGNORE
from mmmodal.model.endings import Endings
from mmmodal.model.zero3 import inference
from mmmodal.samples.collation import Sample

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.model.settings import AnswerSettings

__all__ = ["collated", "generated"]


def generated(
    model: MMModalForConditionalGeneration, turns: Sequence[Turn], settings: AnswerSettings
) -> list[Answer]:
    """Return the answers to turns, without likelihoods.

    All turns whose answers have the same room are answered together: in most data that is all.
    """
    rooms = [min(settings.max_new_tokens, model.config.positions - len(turn.ids)) for turn in turns]
    answers: dict[int, Answer] = {}
    for room in dict.fromkeys(rooms):
        places = [place for place, each in enumerate(rooms) if each == room]
        said = _generated(model, [turns[place] for place in places], settings, room)
        answers |= zip(places, said, strict=True)
    return [answers[place] for place in range(len(turns))]


def collated(
    model: MMModalForConditionalGeneration, rows: Sequence[Sequence[int]], **how: Any
) -> dict[str, Any]:
    """Return rows of ids as one batch on the model's device, padded as `how` says."""
    samples = [Sample(list(row), [IGNORE] * len(row)) for row in rows]
    batch = model.processor.preparer.collate(samples, **how)
    del batch["labels"]
    return {name: value.to(model.device) for name, value in batch.items()}


def _generated(
    model: MMModalForConditionalGeneration,
    turns: Sequence[Turn],
    settings: AnswerSettings,
    room: int,
) -> list[Answer]:
    """Return the answers to turns, of at most `room` tokens each."""
    endings = Endings.of(model, settings.eos_token_id, settings.stop_strings)
    batch = collated(model, [turn.ids for turn in turns], padding_side="left")
    width = batch["input_ids"].shape[1]
    with inference(model):
        ids = model.generate(
            **batch,
            mm_encoder_outputs=joined(shown for turn in turns for shown in turn.media),
            stopping_criteria=[*settings.stopping_criteria, *endings.criteria(width)],
            **{**settings.arguments(), "max_new_tokens": room},
        )
    fillers = {model.generation_config.pad_token_id, model.processor.tokenizer.pad_token_id}
    rows = [_without_filling(row, endings, fillers) for row in ids[:, width:].tolist()]
    limited = settings.max_time is not None
    return [
        _answer(row, endings, turn.left_out, is_long=limited or len(row) >= room)
        for row, turn in zip(rows, turns, strict=True)
    ]


def _answer(ids: list[int], endings: Endings, left_out: int, *, is_long: bool) -> Answer:
    text, ended = endings.read(ids)
    tokens = len(endings.before_end(ids))
    return Answer(text, ended or not is_long, tokens, left_out)


def _without_filling(ids: list[int], endings: Endings, fillers: set[int | None]) -> list[int]:
    """Return the ids of a row without what fills it behind its end, as other rows went on."""
    before = len(endings.before_end(ids))
    if before < len(ids):
        return ids[: before + 1]
    filled = sum(1 for _ in itertools.takewhile(fillers.__contains__, reversed(ids)))
    return ids[: len(ids) - filled]
