"""Generate the answers to the prompts of many dialogues together.

What the language model has read of a dialogue is kept for its next turn, and half of the rows that
have ended no longer wait for the others: they leave, and the rest goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteria

from mmmodal.answering.dialogues import Answer
from mmmodal.answering.media import joined
from mmmodal.answering.past import Past, joined_past, keeps_past, taken_past
from mmmodal.answering.turns import Turn
from mmmodal.model.endings import Endings

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.model.settings import AnswerSettings

__all__ = ["Generation"]

FEW = 8
"""The number of rows of which none leaves before the others."""


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
    def left(self) -> int:
        """The number of tokens that may follow."""
        return 0 if self.has_ended else self.room - len(self.said)


class Generation:
    """Generates answers with one model and one choice of settings."""

    def __init__(self, model: MMModalForConditionalGeneration, settings: AnswerSettings) -> None:
        self._model, self._settings = model, settings
        self._endings = Endings.of(model, settings.eos_token_id, settings.stop_strings)
        self._pad: int = model.processor.tokenizer.pad_token_id
        self._fillers = {self._pad, model.generation_config.pad_token_id} - {None}
        markers = model.processor.preparer.markers.values()
        self._slots = {marker.slot for marker in markers}
        self._inside = self._slots | {marker.separator for marker in markers}
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
                waiting = [row for row in waiting if row.left == steps]
            self._generate(waiting, steps)
        return [(self._answer(row), row.past) for row in rows]

    def _answer(self, row: _Row) -> Answer:
        text, has_end = self._endings.read(row.said)
        is_long = len(row.said) >= row.room or self._settings.max_time is not None
        tokens = len(self._endings.before_end(row.said))
        return Answer(text, has_end or not is_long, tokens, row.turn.left_out)

    def _generate(self, rows: Sequence[_Row], steps: int) -> None:
        """Add up to `steps` tokens to each row; there may be fewer, once half of them have ended."""
        known = [row.past.common(row.ids, self._inside) for row in rows]
        ids, mask = self._columns([row.ids for row in rows], known)
        media = [
            each
            for row, length in zip(rows, known, strict=True)
            for each in self._unread(row, length)
        ]
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=torch.tensor(ids, device=self._model.device),
                attention_mask=torch.tensor(mask, device=self._model.device),
                past_key_values=joined_past([row.past for row in rows], known),
                mm_encoder_outputs=joined(media),
                stopping_criteria=self._criteria(len(ids[0]), rows),
                return_dict_in_generate=True,
                **{**self._settings.arguments(), "max_new_tokens": steps},
            )
        self._take(rows, mask, output)

    def _columns(
        self, rows: Sequence[list[int]], known: Sequence[int]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return rows of ids and their mask: known tokens, then new ones, each padded on the left."""
        past, new = max(known), max(len(row) - n for row, n in zip(rows, known, strict=True))
        ids, mask = [], []
        for row, n in zip(rows, known, strict=True):
            gaps = past - n, new - (len(row) - n)
            ids.append([*[self._pad] * gaps[0], *row[:n], *[self._pad] * gaps[1], *row[n:]])
            mask.append([*[0] * gaps[0], *[1] * n, *[0] * gaps[1], *[1] * (len(row) - n)])
        return ids, mask

    def _unread(self, row: _Row, known: int) -> list[tuple[str, Tensor]]:
        """Return the media of a row whose slots are not among its first `known` tokens."""
        seen = sum(id_ in self._slots for id_ in row.turn.ids[:known])
        ends = itertools.accumulate(len(features) for _, features in row.turn.media)
        return [each for each, end in zip(row.turn.media, ends, strict=True) if end > seen]

    def _criteria(self, width: int, rows: Sequence[_Row]) -> list[Any]:
        # All rows that go on have said equally much.
        own = self._endings.criteria(width - len(rows[0].said))
        if self._goes_on and len(rows) > FEW:
            own = [*own, _HalfEnded({*self._endings.ends, *self._fillers})]
        return [*self._settings.stopping_criteria, *own]

    def _take(self, rows: Sequence[_Row], mask: Sequence[Sequence[int]], output: Any) -> None:
        """Take new tokens, and of dialogues that go on, what has been read."""
        width, kept = len(mask[0]), []
        for row, columns, ids in zip(rows, mask, output.sequences[:, width:].tolist(), strict=True):
            new = self._without_filling(ids)
            # The last token of the longest row has not been read.
            read = new[: len(ids) - 1]
            places = [place for place, is_token in enumerate(columns) if is_token]
            places += range(width, width + len(read))
            before = row.ids
            row.said += new
            row.has_ended = not self._goes_on or self._endings.read(row.said)[1]
            goes_on = self._goes_on and (row.left > 0 or not row.turn.is_last)
            kept.append(([*before, *read], places) if goes_on else None)
        for row, past in zip(rows, taken_past(output.past_key_values, kept), strict=True):
            row.past = past

    def _without_filling(self, ids: list[int]) -> list[int]:
        """Return the ids of a row without what fills it behind its end, as other rows went on."""
        before = len(self._endings.before_end(ids))
        if before < len(ids):
            return ids[: before + 1]
        filled = sum(1 for _ in itertools.takewhile(self._fillers.__contains__, reversed(ids)))
        return ids[: len(ids) - filled]


class _HalfEnded(StoppingCriteria):
    """Stop all rows once half of them have ended."""

    def __init__(self, ends: set[Any]) -> None:
        self._ends = sorted(ends)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        """Return whether to stop, for each row of ids [B, T]."""
        last = input_ids[:, -1]
        ended = torch.isin(last, torch.tensor(self._ends, device=last.device))
        return (ended.float().mean() >= 0.5).expand(len(last))
