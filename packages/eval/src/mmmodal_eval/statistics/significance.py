"""Tests of paired differences, and the correction for testing several."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import stats

from mmmodal_eval.statistics.intervals import Estimate, quantile

__all__ = ["cluster_signs", "holm", "mcnemar", "smallest_difference", "t_test"]


def mcnemar(gained: int, lost: int) -> float:
    """Return the probability of numbers as unequal of answers that only one of two got right.

    It is McNemar's exact test, two-sided, which takes all answers for independent.
    """
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def cluster_signs(sums: Sequence[int]) -> float:
    """Return the probability of a sum as large if the sign of each cluster were a matter of chance.

    The test is exact and two-sided. For clusters of one case each it is McNemar's; for larger ones
    it holds too, where McNemar's takes answers about the same picture for independent.

    Args:
        sums: for each cluster, how many more answers are right than before.
    """
    chances = np.ones(1)
    for size, number in sorted(Counter(abs(one) for one in sums if one).items()):
        spread = np.zeros(size * number + 1)
        spread[::size] = stats.binom.pmf(np.arange(number + 1), number, 0.5)
        chances = np.convolve(chances, spread)
    totals = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return min(float(chances[np.abs(totals) >= abs(sum(sums))].sum()), 1.0)


def t_test(found: Estimate) -> float:
    """Return the probability of a mean difference as large by chance, by Student's t, two-sided.

    Where no cluster differs from another, it is that of all their signs being the same.
    """
    if found.error == 0:
        return 1.0 if found.value == 0 else 2.0 ** (1 - found.clusters)
    return float(2 * stats.t.sf(abs(found.value) / found.error, found.freedom))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return probabilities corrected for the number of tests, by Holm's method."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    corrected, highest = [0.0] * len(order), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(probabilities[index] * (len(order) - rank), 1.0))
        corrected[index] = highest
    return corrected


def smallest_difference(found: Estimate, power: float = 0.8, level: float = 0.95) -> float | None:
    """Return the true difference that data with this error show with the probability `power`.

    Miller, arXiv 2411.00640, section 5; None if the estimate has no interval.
    """
    if found.low is None or math.isnan(found.error):
        return None
    both = quantile((1 + level) / 2, found.freedom) + quantile(power, found.freedom)
    return both * found.error
