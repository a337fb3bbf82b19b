"""Generate the answers to the prompts of many dialogues together.

What the language model has read of a dialogue is kept for its next turn, and half of the rows that
have ended no longer wait for the others: they leave, and the rest goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import StoppingCriteria

from mmmodal.answering.dialogues import Answer
from mmmodal.answering.media import joined
from mmmodal.answering.past import Past, joined_past, keeps_past, taken_past
from mmmodal.answering.turns import Turn
from mmmodal.conversation.rendering import IGNORE
from mmmodal.model.endings import Endings
from mmmodal.samples.collation import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.model.settings import AnswerSettings

__all__ = ["Generation", "padded"]

FEW = 8
"""The number of rows of which none leaves before the others."""

GAP = 8
"""The number of tokens to read that may be padding in any row."""


@dataclass
class _Row:
    """An answer that is being generated."""

    turn: Turn
    room: int
    """The maximum number of its tokens."""

    past: Past
    said: list[int] = field(default_factory=list)
    has_ended: bool = False

    @property
    def ids(self) -> list[int]:
        """The ids of the prompt and of what is there of the answer."""
        return [*self.turn.ids, *self.said]

    @property
    def unread(self) -> int:
        """The number of tokens to read."""
        return len(self.ids) - self.past.common(self.ids)

    @property
    def left(self) -> int:
        """The number of tokens that may follow."""
        return 0 if self.has_ended else self.room - len(self.said)


class Generation:
    """Generates answers with one model and one choice of settings."""

    def __init__(self, model: MMModalForConditionalGeneration, settings: AnswerSettings) -> None:
        self._model, self._settings = model, settings
        self._endings = Endings.of(model, settings.eos_token_id, settings.stop_strings)
        pads = model.processor.tokenizer.pad_token_id, model.generation_config.pad_token_id
        self._fillers = {id_ for id_ in pads if id_ is not None}
        markers = model.processor.preparer.markers.values()
        self._slots = {marker.slot for marker in markers}
        self._goes_on = settings.acts_on_scores(model.generation_config) and keeps_past(model)

    def answers(self, turns: Sequence[Turn]) -> list[tuple[Answer, Past]]:
        """Return the answers to turns, without likelihoods, and what the model has read of each."""
        context, longest = self._model.config.positions, self._settings.max_new_tokens
        rooms = [min(longest, context - len(turn.ids)) for turn in turns]
        rows = [_Row(turn, room, turn.past) for turn, room in zip(turns, rooms, strict=True)]
        while waiting := [row for row in rows if row.left > 0]:
            # No row goes on behind the end of its context, where positions may not exist.
            steps = min(row.left for row in waiting)
            if not self._goes_on:
                self._generate([row for row in waiting if row.left == steps], steps)
                continue
            groups = _alike(waiting)
            for group in groups:
                # All rows that go on must have said equally much.
                self._generate(group, steps if len(groups) == 1 else 1)
        return [(self._answer(row), row.past) for row in rows]

    def _answer(self, row: _Row) -> Answer:
        text, has_end = self._endings.read(row.said)
        is_long = len(row.said) >= row.room or self._settings.max_time is not None
        tokens = len(self._endings.before_end(row.said))
        return Answer(text, has_end or not is_long, tokens, row.turn.left_out)

    def _generate(self, rows: Sequence[_Row], steps: int) -> None:
        """Add up to `steps` tokens to each row; fewer if half of the rows end before."""
        new = max(row.unread for row in rows)
        # Rows with fewer new tokens read some again, where there would be padding.
        known = [max(0, len(row.ids) - new) for row in rows]
        pairs = zip(rows, known, strict=True)
        media = joined(each for row, length in pairs for each in self._unread(row, length))
        batch = padded(self._model, [row.ids for row in rows], "left")
        width = batch["input_ids"].shape[1]
        with torch.inference_mode():
            output = self._model.generate(
                **batch,
                past_key_values=joined_past([row.past for row in rows], known),
                mm_encoder_outputs=media,
                stopping_criteria=self._criteria(width, rows),
                return_dict_in_generate=True,
                **{**self._settings.arguments(), "max_new_tokens": steps},
            )
        self._take(rows, width, output)

    def _unread(self, row: _Row, known: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the features whose slots are not among the first `known` tokens of a row."""
        seen = sum(id_ in self._slots for id_ in row.turn.ids[:known])
        for name, features in row.turn.media:
            if seen < len(features):
                yield name, features[seen:]
            seen = max(0, seen - len(features))

    def _criteria(self, width: int, rows: Sequence[_Row]) -> list[Any]:
        own = self._endings.criteria(width - len(rows[0].said))
        if self._goes_on and len(rows) > FEW:
            own = [*own, _HalfEnded({*self._endings.ends, *self._fillers})]
        return [*self._settings.stopping_criteria, *own]

    def _take(self, rows: Sequence[_Row], width: int, output: Any) -> None:
        """Take new tokens, and of dialogues that go on, what has been read."""
        kept: list[tuple[list[int], int] | None] = []
        for row, ids in zip(rows, output.sequences[:, width:].tolist(), strict=True):
            before, new = row.ids, self._without_filling(ids)
            row.said += new
            row.has_ended = not self._goes_on or self._endings.read(row.said)[1]
            goes_on = self._goes_on and (row.left > 0 or not row.turn.is_last)
            # The last token of the longest row has not been read.
            read = [*before, *new[: len(ids) - 1]]
            kept.append((read, width - len(before)) if goes_on else None)
        for row, past in zip(rows, taken_past(output.past_key_values, kept), strict=True):
            row.past = past

    def _without_filling(self, ids: list[int]) -> list[int]:
        """Return the ids of a row without what fills it behind its end, as other rows went on."""
        before = len(self._endings.before_end(ids))
        if before < len(ids):
            return ids[: before + 1]
        filled = sum(1 for _ in itertools.takewhile(self._fillers.__contains__, reversed(ids)))
        return ids[: len(ids) - filled]


def padded(
    model: MMModalForConditionalGeneration,
    rows: Sequence[list[int]],
    side: Literal["left", "right"],
) -> dict[str, Tensor]:
    """Return rows of ids and their attention mask on the model's device, padded on a side."""
    samples = [Sample(ids, [IGNORE] * len(ids)) for ids in rows]
    batch = model.processor.preparer.collate(samples, padding_side=side)
    return {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}


def _alike(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return rows in groups, in each of which about equally many tokens are to be read."""
    groups: list[list[_Row]] = []
    longest = 0
    for unread, row in sorted(((row.unread, row) for row in rows), key=lambda pair: -pair[0]):
        is_alike = longest - unread <= max(GAP, longest // 4)
        if groups and (is_alike or len(groups[-1]) < FEW):
            groups[-1].append(row)
        else:
            groups.append([row])
            longest = unread
    return groups


class _HalfEnded(StoppingCriteria):
    """Stop all rows once half of them have ended."""

    def __init__(self, ends: set[Any]) -> None:
        self._ends = sorted(ends)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        """Return whether to stop, for each row of ids [B, T]."""
        last = input_ids[:, -1]
        ended = torch.isin(last, torch.tensor(self._ends, device=last.device))
        return (ended.float().mean() >= 0.5).expand(len(last))
