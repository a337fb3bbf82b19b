"""Counts as HTML and inline SVG: bars with names, and histograms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["bars", "histogram"]

WIDTH, HEIGHT = 480, 220  # of a histogram, in its own units
LEFT, RIGHT, TOP, BOTTOM = 10, 470, 26, 176  # the edges of its plot
MOST_BINS = 24
MOST_NAMED = 12
TYPICAL = 0.99
"""The share of values within the range of the bins; the last bin includes the rest."""


def bars(counts: Mapping[str, int], *, most: int | None = None) -> str:
    """Return counts as bars with names, largest first; the small ones are combined.

    Args:
        counts: by name.
        most: the count of full width; by default the largest.
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = MOST_NAMED if len(ordered) > MOST_NAMED + 1 else len(ordered)
    shown = dict(ordered[:named])
    if rest := ordered[named:]:
        shown[f"{len(rest)} others"] = sum(count for _, count in rest)
    largest = most or max(shown.values(), default=0)
    rows = "".join(_bar(name, count, largest) for name, count in shown.items())
    return f'<table class="bars"><tbody>{rows}</tbody></table>'


def _bar(name: str, count: int, most: int) -> str:
    share = 100 * count / max(most, 1)
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="chart">'
        f'<svg aria-hidden="true"><rect width="{share:.2f}%" height="100%" rx="3"/></svg></td>'
        f'<td class="number">{count:,}</td></tr>'
    )


def histogram(values: Sequence[int], name: str, unit: str) -> str:
    """Return a histogram of values, which are integers from 0 on."""
    if not values:
        return f'<p class="none">{escape(name)}: there are none.</p>'
    ordered = sorted(values)
    typical = ordered[min(len(ordered) - 1, math.ceil(TYPICAL * len(ordered)) - 1)]
    size = _size(typical + 1)
    bins = typical // size + 1
    counts = [0] * bins
    for value in values:
        counts[min(value // size, bins - 1)] += 1
    middle = ordered[len(ordered) // 2]
    said = f"{name}: from {ordered[0]:,} to {ordered[-1]:,} {unit}, half of them up to {middle:,}"
    inside = _columns(counts) + _axis(size, bins, unit, more=ordered[-1] >= size * bins)
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(said)}">{inside}</svg><p class="said">{escape(said)}.</p>'
    )


def _size(span: int) -> int:
    """Return the least of 1, 2, 5, 10, … with at most `MOST_BINS` bins."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if span <= digit * power * MOST_BINS:
                return digit * power
        power *= 10


def _columns(counts: Sequence[int]) -> str:
    width = (RIGHT - LEFT) / len(counts)
    largest = max(counts)
    drawn = []
    for index, count in enumerate(counts):
        height = (BOTTOM - TOP) * count / largest
        x, wide = LEFT + index * width, min(width * 0.86, 60)
        drawn.append(
            f'<rect class="bin" x="{x + (width - wide) / 2:.1f}" y="{BOTTOM - height:.1f}" '
            f'width="{wide:.1f}" height="{height:.1f}" rx="2"/>'
        )
        if count == largest or len(counts) <= 8:
            drawn.append(
                f'<text class="step" x="{x + width / 2:.1f}" y="{BOTTOM - height - 7:.1f}">'
                f"{count:,}</text>"
            )
    return "".join(drawn)


def _axis(size: int, bins: int, unit: str, *, more: bool) -> str:
    """Return the axis with the least value of as many bins as there is room for."""
    width = (RIGHT - LEFT) / bins
    every = -(-bins // 8)
    drawn = [
        f'<text class="step" x="{LEFT + (index + 0.5) * width:.1f}" y="{BOTTOM + 20}">'
        f"{index * size:,}{'+' if size > 1 or (more and index == bins - 1) else ''}</text>"
        for index in range(0, bins, every)
    ]
    line = f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>'
    label = f'<text class="step" x="{(LEFT + RIGHT) // 2}" y="{HEIGHT - 4}">{escape(unit)}</text>'
    return line + "".join(drawn) + label
