"""The mean of values that are independent by clusters only."""

from __future__ import annotations

import math

import numpy as np

from mmmodal_eval.statistics.clusters import Clusters, Floats, cluster_sums
from mmmodal_eval.statistics.intervals import Estimate, counted, quantile

__all__ = ["mean"]


def mean(values: Floats, clusters: Clusters, level: float = 0.95) -> Estimate:
    """Return the mean of values with the interval of Student's t.

    The standard error is that of cluster sums of residuals times C/(C-1) for C clusters, with C-1
    degrees of freedom: Miller, "Adding Error Bars to Evals", arXiv 2411.00640, section 2.2, with
    the correction for few clusters that is usual in regressions.

    Args:
        values: one of each case, at least one. Shape: [cases].
        clusters: the number of the cluster of each case. Shape: [cases].
        level: the share of intervals that are to hold the true mean.
    """
    value = float(values.mean())
    residuals = cluster_sums((values - value)[:, None], clusters)[:, 0]
    number = len(residuals)
    if number < 2:
        method = counted("no interval", number)
        return Estimate(value, None, None, math.nan, 0, len(values), number, method)
    squares = float(np.square(residuals).sum())
    error = math.sqrt(number / (number - 1) * squares) / len(values)
    half = quantile((1 + level) / 2, number - 1) * error
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        error=error,
        freedom=number - 1,
        cases=len(values),
        clusters=number,
        method=counted("t", number),
    )
