"""Sums over clusters, of which all intervals are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Clusters", "Floats", "cluster_numbers", "cluster_sums"]

Floats = NDArray[np.float64]
Clusters = NDArray[np.int64]


def cluster_numbers(names: Sequence[str]) -> Clusters:
    """Return a number for each name of a cluster, the same for the same name. Shape: [names]."""
    numbers: dict[str, int] = {}
    found: Any = [numbers.setdefault(name, len(numbers)) for name in names]
    return np.asarray(found, dtype=np.int64)


def cluster_sums(values: Floats, clusters: Clusters) -> Floats:
    """Return the sums of values over each cluster that has some.

    Args:
        values: what is added up. Shape: [cases, columns].
        clusters: the number of the cluster of each case. Shape: [cases].

    Returns: shape [clusters, columns], in the order of their numbers.
    """
    present = np.flatnonzero(np.bincount(clusters))
    columns = [np.bincount(clusters, column)[present] for column in values.T]
    return np.stack(columns, axis=1)
