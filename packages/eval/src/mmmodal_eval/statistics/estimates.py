"""A scorer's figure, or the difference of two on the same questions, with its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmmodal_eval.contracts import Scorer
from mmmodal_eval.statistics.bootstrap import corpus_difference, corpus_figure
from mmmodal_eval.statistics.clusters import Clusters, Floats, cluster_sums
from mmmodal_eval.statistics.intervals import Estimate, counted
from mmmodal_eval.statistics.means import mean
from mmmodal_eval.statistics.proportions import paired_proportions, proportion

__all__ = ["are_right_or_wrong", "difference_of", "figure_of", "values_of", "with_values"]


def figure_of(
    scorer: Scorer, counts: Floats, clusters: Clusters, level: float = 0.95
) -> Estimate | None:
    """Return the figure of some answers; None if they have none, as if there are no answers.

    Args:
        scorer: the scorer of all answers.
        counts: what each answer counts. Shape: [answers, counts].
        clusters: the number of each answer's cluster. Shape: [answers].
        level: the share of intervals that are to hold the true figure.
    """
    if not len(counts):
        return None
    found = _figure_of(scorer, counts, clusters, level)
    if found is None or found.error != 0:
        return found
    method = counted("no interval, as none differs", found.clusters)
    return replace(found, low=None, high=None, method=method)


def _figure_of(scorer: Scorer, counts: Floats, clusters: Clusters, level: float) -> Estimate | None:
    if not scorer.is_mean:
        return corpus_figure(scorer, cluster_sums(counts, clusters), len(counts), level)
    kept = with_values(counts)
    values, clusters = values_of(counts[kept]), clusters[kept]
    if not len(values):
        return None
    method = proportion if are_right_or_wrong(values) else mean
    return method(values, clusters, level).scaled(scorer.figure((1.0, 1.0)))


def difference_of(
    scorer: Scorer, first: Floats, second: Floats, clusters: Clusters, level: float = 0.95
) -> Estimate | None:
    """Return the second figure minus the first, of two answers to each question.

    Args:
        scorer: the scorer of all answers.
        first: what each first answer counts. Shape: [questions, counts].
        second: what each second answer counts. Shape: [questions, counts].
        clusters: the number of each question's cluster. Shape: [questions].
        level: the share of intervals that are to hold the true difference.

    Returns: None if there is no question whose both answers have a figure.
    """
    if not len(first):
        return None
    if not scorer.is_mean:
        sums = cluster_sums(first, clusters), cluster_sums(second, clusters)
        return corpus_difference(scorer, *sums, len(first), level)
    kept = with_values(first) & with_values(second)
    before, after = values_of(first[kept]), values_of(second[kept])
    if not len(before):
        return None
    both = are_right_or_wrong(before) and are_right_or_wrong(after)
    method = paired_proportions if both else mean
    return method(after - before, clusters[kept], level).scaled(scorer.figure((1.0, 1.0)))


def with_values(counts: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which answers are in a mean: a scorer leaves one out by counts of zeros."""
    kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = counts[:, 1] > 0
    return kept


def values_of(counts: Floats) -> Floats:
    """Return the value of each answer in a mean. Shape: [answers]."""
    values: Floats = counts[:, 0] / counts[:, 1]
    return values


def are_right_or_wrong(values: Floats) -> bool:
    """Return whether each value is 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())
