"""Which rows make up which step: a pure function of seed and epoch, whatever the number of ranks.

B rows in a batch, A batches that are added up, R ranks: a step is B x A x R rows that follow one
another in the epoch's order. So a run that goes on with other B, A and R of the same product sees
the same rows in the same steps, and where an epoch ends in the middle of a step, no row comes twice
to fill it: the ranks that are left over get a batch of no rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

__all__ = ["StepBatches", "shuffled"]


def shuffled(count: int, seed: int, epoch: int) -> Sequence[int]:
    """Return the numbers below `count` in the order of an epoch."""
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


class StepBatches(Sampler[list[int]]):
    """The batches of one rank."""

    def __init__(
        self, count: int, *, batch_size: int, accumulation: int, seed: int, rank: int, ranks: int
    ) -> None:
        self._count = count
        self._batch = batch_size
        self._round = batch_size * ranks
        self._step = self._round * accumulation
        self._accumulation = accumulation
        self._seed = seed
        self._rank = rank
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch's order comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        steps, rest = divmod(self._count, self._step)
        return steps * self._accumulation + math.ceil(rest / self._round)

    def __iter__(self) -> Iterator[list[int]]:
        order = shuffled(self._count, self._seed, self._epoch)
        for begin in range(0, self._count, self._step):
            rows = order[begin : begin + self._step]
            for start in range(0, len(rows), self._round):
                first = start + self._rank * self._batch
                yield list(rows[first : first + self._batch])
