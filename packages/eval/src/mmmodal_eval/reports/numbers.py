"""Figures as text: shares and rates in percent, points as they are."""

from __future__ import annotations

from collections.abc import Callable

from mmmodal_eval.statistics.tables import scorer_of

__all__ = ["difference_text", "figure_text", "interval_text", "sign_of", "tick_text"]

NO_INTERVAL = "–"


def sign_of(label: str) -> str:
    """Return what stands behind the figures of a scorer: `%`, or nothing."""
    return "" if scorer_of(label).unit == "points" else "%"


def figure_text(value: float, label: str) -> str:
    """Return a figure of a scorer without its sign."""
    return f"{_scaled(value, label):.1f}"


def difference_text(value: float, label: str) -> str:
    """Return a difference of two figures of a scorer, with a plus or minus."""
    return f"{_scaled(value, label):+.1f}".replace("-", "−")


def tick_text(label: str) -> Callable[[float], str]:
    """Return a function that writes the numbers beside a scale."""
    return lambda value: f"{_scaled(value, label):.3g}".replace("-", "−")


def interval_text(
    low: float | None,
    high: float | None,
    label: str,
    write: Callable[[float, str], str] = figure_text,
) -> str:
    """Return the ends of an interval, or a dash if there is none."""
    if low is None or high is None:
        return NO_INTERVAL
    return f"{write(low, label)} to {write(high, label)}"


def _scaled(value: float, label: str) -> float:
    return value if scorer_of(label).unit == "points" else 100 * value
