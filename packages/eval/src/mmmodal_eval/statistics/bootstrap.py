"""Figures of whole corpora, such as word error rates: drawn again by whole clusters.

The studentised bootstrap covers the truth as often as it says for ratios of sums, where percentiles
do not with tens of clusters; it needs the standard error of each draw, which a ratio gives at once.
Other figures, such as BLEU, take percentiles that are widened for few clusters (Hesterberg, "What
Teachers Should Know about the Bootstrap", 2015, section 4.1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from mmmodal_eval.contracts import Scorer
from mmmodal_eval.statistics.clusters import Floats
from mmmodal_eval.statistics.intervals import Estimate, counted, quantile

__all__ = ["corpus_difference", "corpus_figure", "exchange_test"]

DRAWS = 2000
MOST = 500
"""Of more clusters, the bootstrap draws groups: whole clusters that are dealt out at random. They
are as independent as clusters, and an evaluation of any size takes the same time."""

FEWEST = 5
"""With fewer clusters, there are too few different draws."""

SEED = 20_240_111


@dataclass(frozen=True)
class Drawn:
    """A figure of the data, and those of draws, each with its standard error."""

    value: float
    error: float
    values: Floats
    """Shape: [draws]."""

    errors: Floats | None
    """Shape: [draws]; None for figures that are no ratios."""


def corpus_figure(scorer: Scorer, sums: Floats, cases: int, level: float = 0.95) -> Estimate | None:
    """Return a figure of summed counts; None if it is not defined, as without any words.

    Args:
        scorer: what makes a figure of counts.
        sums: the counts of each cluster, added up. Shape: [clusters, counts].
        cases: the number of cases in all clusters.
        level: the share of intervals that are to hold the true figure.
    """
    value = _value(scorer, sums.sum(axis=0))
    if math.isnan(value):
        return None
    if len(sums) < FEWEST:
        return _without_interval(value, cases, len(sums))
    groups = _groups(sums)
    found = _estimate(_drawn(scorer, groups), len(groups), cases, len(sums), level)
    if found.low is None or (sums < 0).any():
        return found
    return replace(found, low=max(found.low, 0.0))


def corpus_difference(
    scorer: Scorer, first: Floats, second: Floats, cases: int, level: float = 0.95
) -> Estimate | None:
    """Return the second figure minus the first, of the same clusters; both of the same draws.

    Args:
        scorer: what makes a figure of counts.
        first: the counts of each cluster, added up. Shape: [clusters, counts].
        second: those of the other answers. Shape: [clusters, counts].
        cases: the number of cases in all clusters.
        level: the share of intervals that are to hold the true difference.
    """
    value = _value(scorer, second.sum(axis=0)) - _value(scorer, first.sum(axis=0))
    if math.isnan(value):
        return None
    if len(first) < FEWEST:
        return _without_interval(value, cases, len(first))
    both = _groups(np.concatenate([first, second], axis=1))
    drawn = _drawn_differences(scorer, *np.split(both, 2, axis=1))
    return _estimate(drawn, len(both), cases, len(first), level)


def exchange_test(scorer: Scorer, first: Floats, second: Floats) -> float:
    """Return the probability of a difference as large if either answer could be of either model.

    The answers of whole clusters are exchanged at random. Shapes: [clusters, counts].
    """
    both = _groups(np.concatenate([first, second], axis=1))
    first, second = np.split(both, 2, axis=1)
    kept = np.random.default_rng(SEED).integers(0, 2, (DRAWS, len(both))).astype(np.float64)
    change = kept @ (second - first)
    figures = _figures(scorer, second.sum(axis=0) - change) - _figures(
        scorer, first.sum(axis=0) + change
    )
    seen = _value(scorer, second.sum(axis=0)) - _value(scorer, first.sum(axis=0))
    as_large = np.abs(figures) >= abs(seen) * (1 - 1e-12)
    return float((1 + as_large.sum()) / (1 + DRAWS))


def _without_interval(value: float, cases: int, clusters: int) -> Estimate:
    method = counted(f"no interval under {FEWEST} clusters", clusters)
    return Estimate(value, None, None, math.nan, 0, cases, clusters, method)


def _groups(sums: Floats) -> Floats:
    """Return the sums of clusters, or of groups of them if there are many."""
    if len(sums) <= MOST:
        return sums
    order = np.random.default_rng(SEED).permutation(len(sums))
    return np.stack([part.sum(axis=0) for part in np.array_split(sums[order], MOST)])


@functools.lru_cache(maxsize=8)
def _weights(clusters: int) -> Floats:
    """Return how often each draw has each cluster. Shape: [draws, clusters]."""
    chosen = np.random.default_rng(SEED).integers(0, clusters, (DRAWS, clusters))
    places = chosen + clusters * np.arange(DRAWS)[:, None]
    counts = np.bincount(places.ravel(), minlength=DRAWS * clusters)
    return counts.reshape(DRAWS, clusters).astype(np.float64)


def _drawn(scorer: Scorer, sums: Floats) -> Drawn:
    weights, totals = _weights(len(sums)), sums.sum(axis=0)
    values, value = _figures(scorer, weights @ sums), _value(scorer, totals)
    if not _is_ratio(scorer):
        return Drawn(value, float(np.nanstd(values)), values, None)
    one = np.ones((1, len(sums)))
    return Drawn(value, float(_errors(one, sums)[0]), values, _errors(weights, sums))


def _drawn_differences(scorer: Scorer, first: Floats, second: Floats) -> Drawn:
    weights, one = _weights(len(first)), np.ones((1, len(first)))
    values = _figures(scorer, weights @ second) - _figures(scorer, weights @ first)
    value = _value(scorer, second.sum(axis=0)) - _value(scorer, first.sum(axis=0))
    if not _is_ratio(scorer):
        return Drawn(value, float(np.nanstd(values)), values, None)
    error, errors = _errors(one, first, second)[0], _errors(weights, first, second)
    return Drawn(value, float(error), values, errors)


def _estimate(drawn: Drawn, drawable: int, cases: int, clusters: int, level: float) -> Estimate:
    """Return the estimate of draws from a number of drawable clusters or groups."""
    name, ends = "bootstrap, studentised", _studentised(drawn, level)
    if not np.isfinite(ends).all():
        name, ends = "bootstrap, percentiles", _percentiles(drawn, drawable, level)
    return Estimate(
        value=drawn.value,
        low=ends[0],
        high=ends[1],
        error=drawn.error,
        freedom=drawable - 1,
        cases=cases,
        clusters=clusters,
        method=counted(name, clusters),
    )


def _studentised(drawn: Drawn, level: float) -> tuple[float, float]:
    """Return the interval from the draws' distances to the figure in their standard errors.

    It is not finite if that is no way to find it: for figures that are no ratios, and where so few
    clusters have any errors that many draws have none.
    """
    if drawn.errors is None:
        return -math.inf, math.inf
    if drawn.error == 0:
        return drawn.value, drawn.value
    with np.errstate(all="ignore"):
        distances = (drawn.values - drawn.value) / drawn.errors
    shares = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.nanquantile(distances, shares, method="inverted_cdf")
    return drawn.value - float(high) * drawn.error, drawn.value - float(low) * drawn.error


def _percentiles(drawn: Drawn, drawable: int, level: float) -> tuple[float, float]:
    """Return percentiles of the draws, wider by as much as few clusters make them too narrow."""
    wide = math.sqrt(drawable / (drawable - 1)) * quantile((1 + level) / 2, drawable - 1)
    tail = float(stats.norm.sf(wide))
    low, high = np.nanquantile(drawn.values, [tail, 1 - tail])
    return float(low), float(high)


def _is_ratio(scorer: Scorer) -> bool:
    """Return whether the figure is the contract's own: the first count over the second."""
    return type(scorer).figure is Scorer.figure


def _errors(weights: Floats, *answers: Floats) -> Floats:
    """Return the standard error of a ratio, or of a difference of two, in each draw.

    It is that of the residuals of clusters: numerator minus ratio times denominator, over all
    denominators. Shapes: weights [draws, clusters], each answer [clusters, 2], the result [draws].
    """
    ratios = [sums[:, :2] for sums in answers]  # a scorer may count more, for people
    columns = np.concatenate(ratios, axis=1)
    products = np.einsum("ci,cj->cij", columns, columns).reshape(len(columns), -1)
    moments = (weights @ products).reshape(len(weights), columns.shape[1], columns.shape[1])
    slopes = np.concatenate([_slopes(weights @ sums) for sums in ratios], axis=1)
    slopes[:, :-2] *= -1  # the first answers are taken away
    squares = np.einsum("di,dij,dj->d", slopes, moments, slopes)
    clusters = weights.sum(axis=1)
    errors: Floats = np.sqrt(np.maximum(squares, 0) * clusters / (clusters - 1))
    return errors


def _slopes(totals: Floats) -> Floats:
    """Return the derivatives of a ratio to its numerator and denominator. Shape: [draws, 2]."""
    with np.errstate(all="ignore"):
        return np.stack([1 / totals[:, 1], -totals[:, 0] / totals[:, 1] ** 2], axis=1)


def _figures(scorer: Scorer, totals: Floats) -> Floats:
    """Return the figure of each draw, nan where there is none. Shapes: [draws, counts], [draws]."""
    if _is_ratio(scorer):
        with np.errstate(all="ignore"):
            return np.where(totals[:, 1] == 0, np.nan, totals[:, 0] / totals[:, 1])
    return np.array([_value(scorer, total) for total in totals])


def _value(scorer: Scorer, totals: Floats) -> float:
    figure: Callable[..., float] = scorer.figure
    try:
        return float(figure(totals.tolist()))
    except ZeroDivisionError:
        return math.nan
