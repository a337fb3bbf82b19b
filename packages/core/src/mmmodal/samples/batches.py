"""Which samples make which batch, on every rank, from the first step of a run to its last.

A pure function of the lengths of the samples, the seed and how many batches there are: a run is
one stream of batches, epoch after epoch, of which each rank takes its share in turn. So the place
in a run is one number, whatever the number of ranks, and going on from it reads no medium again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from typing import TYPE_CHECKING

from mmmodal.samples.order import epoch_order
from mmmodal.samples.packing import Packer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BatchPlan", "RankBatches"]


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a whole run, on all ranks together."""

    lengths: NDArray[np.int32]
    """The tokens of each sample; 0: it is left out."""

    batch_size: int
    """Samples to a batch, or packs, where samples are packed."""

    capacity: int | None = None
    """The tokens of a pack; None: samples are not packed."""

    epochs: float = 1.0
    seed: int = 0
    drawn: Callable[[int], NDArray[np.int64]] | None = None
    """What an epoch holds, in its order, by its number; None: every sample once, shuffled."""

    def epoch(self, number: int) -> list[int]:
        """Return the samples of an epoch in their order, without those that are left out."""
        if self.drawn is None:
            order = self._usable[epoch_order(len(self._usable), self.seed, number)]
        else:
            order = self.drawn(number)
            order = order[self.lengths[order] > 0]
        return order.tolist()  # type: ignore[no-any-return, unused-ignore]

    def packs(self, endless: bool = False) -> Iterator[list[int]]:
        """Yield what a row holds, a pack of samples or one sample, until all epochs are over."""
        left = self.total_samples
        for number in count():
            order = self.epoch(number)
            if not endless:
                order = order[:left]
                left -= len(order)
            if not order:
                return
            if self.capacity is None:
                yield from ([sample] for sample in order)
            else:
                yield from Packer(self._tokens, self.capacity).packs(order)

    def batches(self, endless: bool = False) -> Iterator[list[int]]:
        """Yield the samples of one batch after the other."""
        packs = self.packs(endless)
        while group := list(islice(packs, self.batch_size)):
            yield [sample for pack in group for sample in pack]

    @cached_property
    def _usable(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.lengths.nonzero()[0]
        return found

    @cached_property
    def _tokens(self) -> list[int]:
        return self.lengths.tolist()  # type: ignore[no-any-return, unused-ignore]

    @cached_property
    def total_samples(self) -> int:
        """How many samples all epochs have together; the last epoch may be a part of one."""
        return max(1, round(self.epochs * len(self.epoch(0))))

    @cached_property
    def _totals(self) -> tuple[int, int]:
        """How many packs all epochs have together, and how many tokens."""
        packs = tokens = 0
        for pack in self.packs():
            packs += 1
            tokens += sum(self._tokens[sample] for sample in pack)
        return packs, tokens

    @property
    def total_packs(self) -> int:
        """How many packs, or samples, all epochs have together."""
        return self.total_samples if self.capacity is None else self._totals[0]

    @property
    def total_batches(self) -> int:
        """How many batches all epochs have together."""
        return -(-self.total_packs // self.batch_size)

    @property
    def utilisation(self) -> float:
        """The share of the packs' capacity that their tokens fill, over all epochs."""
        if self.capacity is None:
            return 1.0
        packs, tokens = self._totals
        return tokens / (packs * self.capacity)

    def steps(self, batches_a_step: int) -> int:
        """Return how many steps that is, of so many batches on all ranks together."""
        return -(-self.total_batches // batches_a_step)

    def epoch_after(self, batches: int) -> float:
        """Return how many epochs so many batches are, on average."""
        return batches * self.epochs / self.total_batches


class RankBatches:
    """The batches that one rank reads, as PyTorch's data loader takes them: a batch sampler."""

    def __init__(
        self, plan: BatchPlan, number: int, *, rank: int = 0, ranks: int = 1, endless: bool = False
    ) -> None:
        """Share a plan.

        Args:
            plan: the batches of all ranks.
            number: how many batches this rank reads in the whole run.
            rank: its number.
            ranks: how many there are.
            endless: begin more epochs than the plan has, if need be, to fill that number.
        """
        self._plan = plan
        self._number = number
        self._rank = rank
        self._ranks = ranks
        self._endless = endless

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the samples of each batch.

        Where the last step has fewer batches than ranks, the others get batches without a sample:
        every rank takes part in every step, and no sample counts twice.
        """
        share = islice(self._plan.batches(self._endless), self._rank, None, self._ranks)
        left = self._number
        for batch in islice(share, self._number):
            left -= 1
            yield batch
        for _ in range(left):
            yield []
