"""Mix several datasets with weights: select the records of each epoch and their order.

A record of a dataset of weight 2 occurs twice in an epoch; for weight 0.5 half of the records occur
in one epoch and the other half in the next. The selection is a pure function of the seed and the
number of the epoch, in any process and in any order of calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from mmmodal.samples.order import epoch_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Mixture"]

SALT = 2**31
"""A salt, so that the order of a dataset's records differs from the order of an epoch."""


class Mixture:
    """Datasets whose records are numbered consecutively."""

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float] = (),
        seed: int = 0,
        left_out: Sequence[int] = (),
    ) -> None:
        """Combine datasets.

        Args:
            sizes: the number of records of each dataset.
            weights: how many times each dataset's records occur in an epoch; by default 1.
            seed: the seed of the order.
            left_out: the numbers of records to leave out.
        """
        self._sizes = tuple(sizes)
        self._weights = tuple(weights) or (1.0,) * len(self._sizes)
        self._seed = seed
        self._left_out = tuple(left_out)
        if len(self._weights) != len(self._sizes):
            raise ValueError(f"{len(self._weights)} weights for {len(self._sizes)} datasets")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of records of each dataset, including those that are left out."""
        return self._sizes

    def without(self, left_out: Sequence[int]) -> Mixture:
        """Return the same mixture without the records of the given numbers."""
        return Mixture(self._sizes, self._weights, self._seed, left_out)

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        """The numbers of the records of each dataset, without those that are left out."""
        import numpy as np

        edges = np.cumsum((0, *self._sizes))
        every = [np.arange(begin, end) for begin, end in pairwise(edges)]
        return [numbers[~np.isin(numbers, self._left_out)] for numbers in every]

    @cached_property
    def counts(self) -> list[int]:
        """The number of records of each dataset in an epoch, which is the same in every epoch."""
        pairs = zip(self._members, self._weights, strict=True)
        return [max(1, round(len(m) * weight)) if len(m) else 0 for m, weight in pairs]

    def __len__(self) -> int:
        return sum(self.counts)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Return the numbers of the records of an epoch, in order."""
        import numpy as np

        pairs = enumerate(zip(self._members, self.counts, strict=True))
        drawn = [self._drawn(place, m, epoch * n, n) for place, (m, n) in pairs if n]
        together = np.concatenate(drawn) if drawn else np.zeros(0, np.int64)
        chosen: NDArray[np.int64] = together[epoch_order(len(together), self._seed, epoch)]
        return chosen

    def _drawn(
        self, dataset: int, members: NDArray[np.int64], first: int, number: int
    ) -> NDArray[np.int64]:
        """Return `number` records from index `first` of a dataset that is repeated endlessly."""
        import numpy as np

        size = len(members)
        if number == size:
            return members
        passes = range(first // size, (first + number - 1) // size + 1)
        seed = self._seed + SALT * (dataset + 1)
        rounds = [members[epoch_order(size, seed, turn)] for turn in passes]
        begin = first - passes[0] * size
        return np.concatenate(rounds)[begin : begin + number]
