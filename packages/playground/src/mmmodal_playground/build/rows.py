"""Rows of text as token ids and labels, and batches of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmmodal_playground.build.describing import BLANK, SUM
from mmmodal_playground.build.open_pairs import places_left_open
from mmmodal_playground.things import Thing

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

__all__ = ["IGNORED", "Batch", "Row", "batches", "labelled"]

BATCH = 16  # rows of one kind
IGNORED = -100


@dataclass(frozen=True)
class Row:
    """The tokens of one row, and its labels."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sums: list[tuple[int, list[int], list[float]]] = field(default_factory=list)
    """Positions with weighted sums of tokens, with the tokens and weights."""

    opened: list[tuple[int, int]] = field(default_factory=list)
    """Positions, and tokens that are excluded from the loss there."""

    def add(self, ids: list[int], taught: bool) -> None:
        """Append tokens."""
        self.ids.extend(ids)
        self.labels.extend(ids if taught else [IGNORED] * len(ids))


@dataclass(frozen=True)
class Batch:
    """Rows padded to the same length."""

    ids: Tensor
    """[B, T]."""

    labels: Tensor
    """[B, T]."""

    sums: list[tuple[int, int, list[int], list[float]]]
    """Row, position, tokens and weights of each sum."""

    opened: list[tuple[int, int, int]]
    """Row, position and token of each exclusion from the loss."""


def labelled(
    tokenizer: PreTrainedTokenizerFast,
    pieces: Sequence[tuple[str, bool]],
    shown: Iterable[Sequence[Thing]] = (),
) -> Row:
    """Return a row of separately tokenized pieces; the learned ones are labels too.

    `shown` has the things of each medium of the row.
    """
    row = Row()
    blank = tokenizer.get_vocab()[BLANK]
    for text, taught in pieces:
        for place, part in enumerate(SUM.split(text)):  # every second part has the words of a sum
            if place % 2:
                row.sums.append((len(row.ids), *_weighted(tokenizer, part)))
                row.add([blank], taught)
            else:
                row.add(tokenizer.backend_tokenizer.encode(part).ids, taught)
    row.opened.extend(places_left_open(tokenizer, row.labels, shown))
    return row


def _weighted(tokenizer: PreTrainedTokenizerFast, words: str) -> tuple[list[int], list[float]]:
    """Return the tokens and weights of "0.9 red, 0.5 star"."""
    ids: list[int] = []
    weights: list[float] = []
    for each in words.split(", "):
        weight, word = each.split(" ", 1)
        tokens = tokenizer.backend_tokenizer.encode(f" {word}").ids
        ids += tokens
        weights += [float(weight)] * len(tokens)
    return ids, weights


def batches(make: Callable[[], Row], chance: random.Random, padding: int) -> Iterator[Batch]:
    """Yield batches of rows of similar length."""
    while True:
        window = sorted((make() for _ in range(BATCH * 8)), key=lambda row: len(row.ids))
        groups = [window[at : at + BATCH] for at in range(0, len(window), BATCH)]
        chance.shuffle(groups)
        yield from (_batch(group, padding) for group in groups)


def _batch(rows: Sequence[Row], padding: int) -> Batch:
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = [row.ids + [padding] * (longest - len(row.ids)) for row in rows]
    labels = [row.labels + [IGNORED] * (longest - len(row.labels)) for row in rows]
    sums = [(index, *shown) for index, row in enumerate(rows) for shown in row.sums]
    opened = [(index, *place) for index, row in enumerate(rows) for place in row.opened]
    return Batch(torch.tensor(ids), torch.tensor(labels), sums, opened)
