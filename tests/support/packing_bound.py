"""How few packs any packing could need: a bound, for to find the fewest takes too long."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["fewest_packs"]


def fewest_packs(lengths: Sequence[int], capacity: int) -> int:
    """Return a number of packs that no packing of these lengths can go below.

    The larger of two: as many as the shortest samples fit into a pack, more never do; and Martello
    and Toth's L2 (1990, §8.3), where samples of more than half a pack are alone with short ones.
    """
    ordered = sorted(lengths)
    sums = [0, *accumulate(ordered)]
    together = bisect_right(sums, capacity) - 1
    return max(-(-len(ordered) // together), _l2(ordered, sums, capacity))


def _l2(ordered: Sequence[int], sums: Sequence[int], capacity: int) -> int:
    most = 0
    for least in {0, *ordered[: bisect_right(ordered, capacity // 2)]}:
        alone = bisect_right(ordered, capacity - least)  # from here on: no room beside them
        large = bisect_right(ordered, capacity // 2)  # from here on: no two in a pack
        small = bisect_left(ordered, least)  # below it: taken to be nothing
        room = (alone - large) * capacity - (sums[alone] - sums[large])
        left = max(0, sums[large] - sums[small] - room)
        most = max(most, len(ordered) - large + -(-left // capacity))
    return most
