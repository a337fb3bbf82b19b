"""Plan the samples of each batch, on every rank, from the first step of a run to its last.

The plan is a pure function of the lengths of the samples, the seed and the number of batches. A run
is one stream of batches, epoch after epoch, which the ranks read in turn. The position in a run is
therefore one number, for any number of ranks, and resuming from it reads no medium again.
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
    """The number of tokens of each sample; a sample with 0 is left out."""

    batch_size: int
    """The number of samples in a batch, or of packs if samples are packed."""

    capacity: int | None = None
    """The maximum number of tokens in a pack; None: samples are not packed."""

    epochs: float = 1.0
    seed: int = 0
    drawn: Callable[[int], NDArray[np.int64]] | None = None
    """A function that returns the samples of an epoch in order; None: all samples, shuffled."""

    def epoch(self, number: int) -> list[int]:
        """Return the samples of an epoch in order, without those that are left out."""
        if self.drawn is None:
            order = self._usable[epoch_order(len(self._usable), self.seed, number)]
        else:
            order = self.drawn(number)
            order = order[self.lengths[order] > 0]
        return order.tolist()  # type: ignore[no-any-return, unused-ignore]

    def packs(self, endless: bool = False) -> Iterator[list[int]]:
        """Yield the samples of each row, a pack or one sample, up to the end of all epochs."""
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
        """Yield the samples of each batch."""
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
        """The number of samples in all epochs; the last epoch may be incomplete."""
        return max(1, round(self.epochs * len(self.epoch(0))))

    @cached_property
    def _totals(self) -> tuple[int, int]:
        """The numbers of packs and tokens in all epochs."""
        packs = tokens = 0
        for pack in self.packs():
            packs += 1
            tokens += sum(self._tokens[sample] for sample in pack)
        return packs, tokens

    @property
    def total_packs(self) -> int:
        """The number of packs, or of samples, in all epochs."""
        return self.total_samples if self.capacity is None else self._totals[0]

    @property
    def total_batches(self) -> int:
        """The number of batches in all epochs."""
        return -(-self.total_packs // self.batch_size)

    @property
    def utilisation(self) -> float:
        """The share of the packs' capacity that tokens fill, over all epochs."""
        if self.capacity is None:
            return 1.0
        packs, tokens = self._totals
        return tokens / (packs * self.capacity)

    def steps(self, batches_a_step: int) -> int:
        """Return the number of steps, each of `batches_a_step` batches on all ranks together."""
        return -(-self.total_batches // batches_a_step)

    def epoch_after(self, batches: int) -> float:
        """Return the number of epochs that a number of batches makes, on average."""
        return batches * self.epochs / self.total_batches


class RankBatches:
    """The batches that one rank reads: a batch sampler of PyTorch's data loader."""

    def __init__(
        self, plan: BatchPlan, number: int, *, rank: int = 0, ranks: int = 1, endless: bool = False
    ) -> None:
        """Select the share of a rank.

        Args:
            plan: the batches of all ranks.
            number: the number of batches of this rank in the whole run.
            rank: the rank.
            ranks: the number of ranks.
            endless: start further epochs if the plan has fewer batches.
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

        If the last step has fewer batches than ranks, the other ranks get batches without samples:
        every rank takes part in every step, and no sample counts twice.
        """
        share = islice(self._plan.batches(self._endless), self._rank, None, self._ranks)
        left = self._number
        for batch in islice(share, self._number):
            left -= 1
            yield batch
        for _ in range(left):
            yield []
