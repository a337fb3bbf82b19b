"""Intervals of right and wrong answers, and of their paired differences, of small samples.

The normal approximation is not to be trusted below a few hundred items (Bowyer, Aitchison and
Ivanova, arXiv 2503.01747). Clustered answers count as the number of independent ones with the same
variance: the effective size of survey statistics, as Korn and Graubard (1998) put it into exact
intervals, and Dean and Pagano (2015) into Wilson's, which they recommend.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mmmodal_eval.statistics.clusters import Clusters, Floats
from mmmodal_eval.statistics.intervals import FEW, RARE, Estimate, counted, quantile
from mmmodal_eval.statistics.means import mean

__all__ = ["paired_proportions", "proportion"]


def proportion(values: Floats, clusters: Clusters, level: float = 0.95) -> Estimate:
    """Return the share of right answers, with Wilson's interval where there are few.

    Args:
        values: 1 for right and 0 for wrong. Shape: [cases].
        clusters: the number of the cluster of each case. Shape: [cases].
        level: the share of intervals that are to hold the true share.
    """
    found = mean(values, clusters, level)
    if found.clusters < 2:
        return found
    share = found.value
    size = _effective_size(found, share * (1 - share))
    if found.clusters >= FEW and size * min(share, 1 - share) >= RARE:
        return found
    freedom = _freedom(found)
    low, high, error = _wilson(share, size, quantile((1 + level) / 2, freedom))
    method = counted("Wilson", found.clusters)
    return replace(found, low=low, high=high, error=error, freedom=freedom, method=method)


def paired_proportions(differences: Floats, clusters: Clusters, level: float = 0.95) -> Estimate:
    """Return the mean difference of right and wrong answers to the same questions.

    Where few answers differ, the interval is that of Bonett and Price (2012), which adds one
    answer that only the first and one that only the second got right: without them, models that
    differ nowhere would seem to be equal for sure.

    Args:
        differences: -1, 0 or 1. Shape: [cases].
        clusters: the number of the cluster of each case. Shape: [cases].
        level: the share of intervals that are to hold the true difference.
    """
    found = mean(differences, clusters, level)
    if found.clusters < 2:
        return found
    gained, lost = float(np.mean(differences > 0)), float(np.mean(differences < 0))
    size = _effective_size(found, gained + lost - (gained - lost) ** 2)
    if found.clusters >= FEW and size * (gained + lost) >= RARE:
        return found
    freedom = _freedom(found)
    more, less = (size * gained + 1) / (size + 2), (size * lost + 1) / (size + 2)
    error = math.sqrt((more + less - (more - less) ** 2) / (size + 2))
    half = quantile((1 + level) / 2, freedom) * error
    low, high = max(more - less - half, -1.0), min(more - less + half, 1.0)
    method = counted("Bonett–Price", found.clusters)
    return replace(found, low=low, high=high, error=error, freedom=freedom, method=method)


def _effective_size(found: Estimate, variance: float) -> float:
    """Return the number of independent cases with the same standard error, at most that of all.

    Where no two values differ, nothing is known of the clusters, and each counts as one case.
    """
    if variance <= 0 or found.clusters == found.cases:
        return float(found.clusters)
    return min(variance / found.error**2, found.cases) if found.error > 0 else float(found.cases)


def _freedom(found: Estimate) -> float:
    """Return the degrees of freedom: infinite if no variance of clusters had to be estimated."""
    return math.inf if found.clusters == found.cases else found.freedom


def _wilson(share: float, size: float, wide: float) -> tuple[float, float, float]:
    """Return the ends of Wilson's interval, and half of it in units of the quantile."""
    shrink = 1 + wide**2 / size
    middle = (share + wide**2 / (2 * size)) / shrink
    error = math.sqrt(share * (1 - share) / size + wide**2 / (4 * size**2)) / shrink
    return max(middle - wide * error, 0.0), min(middle + wide * error, 1.0), error
