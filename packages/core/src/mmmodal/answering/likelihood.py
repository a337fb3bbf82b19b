"""The likelihoods of given answers.

T tokens, D width of the hidden states, M tokens of choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from mmmodal.answering.generation import padded
from mmmodal.answering.media import joined
from mmmodal.answering.turns import Turn

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["likelihoods"]


@dataclass(frozen=True)
class _Row:
    """A prompt with the beginning of one choice, which others may share."""

    turn: Turn
    ids: list[int]
    choices: list[int]
    """The numbers of the turn's choices whose tokens but the last are in it."""

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield the positions of the logits of each choice: from, and up to."""
        first = len(self.turn.ids) - 1
        for number in self.choices:
            yield first, first + len(self.turn.choices[number])


def likelihoods(
    model: MMModalForConditionalGeneration, turns: Sequence[Turn], batch_size: int
) -> list[tuple[float, ...]]:
    """Return the log-probability of each choice of each turn: the sum over its tokens, in fp32.

    Args:
        model: the model.
        turns: the prompts with their choices.
        batch_size: the number of rows that the model reads together.
    """
    found: list[list[float]] = [[0.0] * len(turn.choices) for turn in turns]
    rows = [(place, row) for place, turn in enumerate(turns) for row in _rows(turn)]
    for at in range(0, len(rows), batch_size):
        some = rows[at : at + batch_size]
        sums = iter(_sums(model, [row for _, row in some]))
        for place, row in some:
            for number in row.choices:
                found[place][number] = next(sums)
    return [tuple(each) for each in found]


def _rows(turn: Turn) -> list[_Row]:
    """Return the rows that show all choices of a turn.

    The last token of a choice is only predicted. What is left of most choices is the beginning of
    another one, or nothing, as of a single letter: then one row shows them all.
    """
    read = sorted({tuple(choice[:-1]) for choice in turn.choices})
    longest = [one for one, other in pairwise([*read, ()]) if other[: len(one)] != one or not other]
    rows = [_Row(turn, [*turn.ids, *begun], []) for begun in longest]
    for number, choice in enumerate(turn.choices):
        wanted = [*turn.ids, *choice[:-1]]
        next(row for row in rows if row.ids[: len(wanted)] == wanted).choices.append(number)
    return rows


def _sums(model: MMModalForConditionalGeneration, rows: Sequence[_Row]) -> list[float]:
    """Return the log-probabilities of the choices of all rows, in their order."""
    # Padding on the right is behind all that is looked at, whatever the model makes of a mask.
    batch = padded(model, [row.ids for row in rows], "right")
    media = joined(shown for row in rows for shown in row.turn.media)
    with torch.inference_mode():
        outputs = model.model(**batch, mm_encoder_outputs=media, use_cache=False, return_dict=True)
        hidden: Tensor = outputs[0]  # [rows, T, D]
        seen = [
            hidden[place, start:end] for place, row in enumerate(rows) for start, end in row.spans()
        ]
        said = [id_ for row in rows for number in row.choices for id_ in row.turn.choices[number]]
        wanted = torch.tensor(said, device=hidden.device)  # [M]
        each = model.head.log_probabilities(model.lm_head, torch.cat(seen), wanted)
        return [float(some.sum()) for some in each.split([len(some) for some in seen])]
