"""A lower bound for the number of packs, as finding the minimum takes too long."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["fewest_packs"]


def fewest_packs(lengths: Sequence[int], capacity: int) -> int:
    """Return a lower bound for the number of packs of samples of these lengths.

    It is the larger of two bounds: one from the maximum number of samples in a pack, which is that
    of the shortest ones; and L2 of Martello and Toth (1990, §8.3), in which samples of more than
    half a pack share it only with short ones.
    """
    ordered = sorted(lengths)
    sums = [0, *accumulate(ordered)]
    together = bisect_right(sums, capacity) - 1
    return max(-(-len(ordered) // together), _l2(ordered, sums, capacity))


def _l2(ordered: Sequence[int], sums: Sequence[int], capacity: int) -> int:
    most = 0
    for least in {0, *ordered[: bisect_right(ordered, capacity // 2)]}:
        alone = bisect_right(ordered, capacity - least)  # samples from here on are alone in a pack
        large = bisect_right(ordered, capacity // 2)  # no two samples from here on share a pack
        small = bisect_left(ordered, least)  # samples below this index are ignored
        room = (alone - large) * capacity - (sums[alone] - sums[large])
        left = max(0, sums[large] - sums[small] - room)
        most = max(most, len(ordered) - large + -(-left // capacity))
    return most
