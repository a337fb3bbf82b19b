"""Estimates with intervals, and the quantiles that they are made with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scipy import stats

__all__ = ["FEW", "RARE", "Estimate", "counted", "quantile"]

FEW = 300
"""Below so many clusters, intervals of right and wrong answers are those of small samples: the
normal approximation holds for means of so few items only if they are neither rare nor frequent."""

RARE = 30
"""Below so many independent answers of the rarer kind they are too, whatever the number of
clusters is."""


@dataclass(frozen=True)
class Estimate:
    """A figure or a difference, with the ends of its interval."""

    value: float
    low: float | None
    high: float | None
    """None if there are too few clusters for an interval."""

    error: float
    """The standard error; nan without an interval."""

    freedom: float
    """The degrees of freedom of the interval; infinite for a normal one."""

    cases: int
    clusters: int
    method: str

    def scaled(self, scale: float) -> Estimate:
        """Return the same estimate in another unit."""
        ends = [None if end is None else end * scale for end in (self.low, self.high)]
        return replace(
            self, value=self.value * scale, low=ends[0], high=ends[1], error=self.error * scale
        )


def quantile(share: float, freedom: float) -> float:
    """Return the quantile of Student's t, or the normal one for infinite degrees of freedom."""
    return float(stats.t.ppf(share, freedom))


def counted(method: str, clusters: int) -> str:
    """Return the name of a method with the number of clusters."""
    return f"{method}, {clusters} cluster{'' if clusters == 1 else 's'}"
