"""Curves by step as inline SVG: losses on a logarithmic scale, other figures on a linear one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["figure_chart", "loss_chart"]

WIDTH, HEIGHT = 480, 270  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 46, 418, 32, 222  # the edges of its plot
LOWEST_LOSS = 1e-4  # a logarithmic scale has no zero
MOST_POINTS = 400

Points = Sequence[tuple[int, float]]


def loss_chart(rows: Iterable[Mapping[str, Any]], name: str, key: str = "loss") -> str:
    """Return the curve of the loss on a logarithmic scale; only rows with a finite loss count.

    Args:
        rows: the logged rows.
        name: the name of the curve, for readers who hear it.
        key: the key of the loss in a row; where it is not the training's, its steps are marked.
    """
    found = [(step, max(loss, LOWEST_LOSS)) for step, loss in _points(rows, key)]
    points = _thinned(found)
    if not points:
        return _drawing(f"{name}: no loss was logged", _nothing("no loss was logged"))
    losses = [loss for _, loss in points]
    label = (
        f"{name}: the loss goes from {points[0][1]:.3g} to {points[-1][1]:.3g} "
        f"in {points[-1][0]:,} steps"
    )
    plot = _Plot(points, _loss_ticks(min(losses), max(losses)), "loss", True, key != "loss")
    return _drawing(label, plot.draw())


def figure_chart(
    rows: Iterable[Mapping[str, Any]], key: str, name: str, unit: str, *, dots: bool = False
) -> str:
    """Return the curve of a logged figure on a scale from zero, without rows that lack it.

    With `dots` its steps are marked.
    """
    points = _thinned(list(_points(rows, key)))
    if not points:
        return _drawing(f"{name}: not logged", _nothing("not logged"))
    values = [value for _, value in points]
    low, high = min(values), max(values)
    label = f"{name}: from {low:.3g} to {high:.3g} {unit}, {values[-1]:.3g} at the end"
    ticks = [float(tick) for tick in _even_ticks(max(values))]
    return _drawing(label, _Plot(points, ticks, unit, False, dots).draw())


def _points(rows: Iterable[Mapping[str, Any]], key: str) -> Iterable[tuple[int, float]]:
    for row in rows:
        step, value = row.get("step"), row.get(key)
        if isinstance(step, int) and isinstance(value, int | float) and math.isfinite(value):
            yield step, float(value)


def _thinned(points: Points) -> Points:
    """Return the points without those that are too close to distinguish; the last one is kept."""
    every = math.ceil(len(points) / MOST_POINTS) or 1
    return points[::-1][::every][::-1]


def _drawing(label: str, inside: str) -> str:
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{inside}</svg>'
    )


def _nothing(text: str) -> str:
    return f'<text class="none" x="{WIDTH // 2}" y="{HEIGHT // 2}">{text}</text>'


class _Plot:
    """The points of a curve, and the scales for them."""

    def __init__(
        self,
        points: Points,
        ticks: Sequence[float],
        unit: str,
        logarithmic: bool,
        dots: bool = False,
    ) -> None:
        self.points = points
        self.ticks = ticks
        self.unit = unit
        self.logarithmic = logarithmic
        self.dots = points if dots else ()
        self.last = max(points[-1][0], 1)

    def draw(self) -> str:
        """Return the axes and the curve."""
        return self._value_axis() + self._step_axis() + self._curve()

    def x(self, step: float) -> float:
        """Return the horizontal position of a step."""
        return LEFT + (RIGHT - LEFT) * step / self.last

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        low, high = self._height(self.ticks[0]), self._height(self.ticks[-1])
        return BOTTOM - (BOTTOM - TOP) * (self._height(value) - low) / (high - low)

    def _height(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def _value_axis(self) -> str:
        many = self.logarithmic and len(self.ticks) > 8
        drawn = [
            f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{self.y(tick):.1f}" '
            f'y2="{self.y(tick):.1f}"/>'
            f'<text class="loss" x="{LEFT - 8}" y="{self.y(tick):.1f}">{_short(tick)}</text>'
            for tick in self.ticks
            if not many or math.log10(tick).is_integer()
        ]
        name = f'<text class="loss" x="{LEFT - 8}" y="10">{escape(self.unit)}</text>'
        return name + "".join(drawn)

    def _step_axis(self) -> str:
        drawn = [
            f'<line class="tick" x1="{self.x(tick):.1f}" x2="{self.x(tick):.1f}" y1="{BOTTOM}" '
            f'y2="{BOTTOM + 5}"/>'
            f'<text class="step" x="{self.x(tick):.1f}" y="{BOTTOM + 20}">{tick:,}</text>'
            for tick in _step_ticks(self.last)
        ]
        axis = f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>'
        label = f'<text class="step" x="{(LEFT + RIGHT) // 2}" y="{HEIGHT - 8}">step</text>'
        return axis + "".join(drawn) + label

    def _curve(self) -> str:
        places = [f"{self.x(step):.1f} {self.y(value):.1f}" for step, value in self.points]
        line = "L".join(places)
        step, value = self.points[-1]
        x, y = self.x(step), self.y(value)
        marked = [
            f'<circle class="end" cx="{self.x(step):.1f}" cy="{self.y(value):.1f}" r="4"/>'
            for step, value in self.dots
        ]
        return (
            f'<path class="line" d="M{line}"/>{"".join(marked)}'
            f'<circle class="end" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text class="last" x="{x + 10:.1f}" y="{y:.1f}">{_short(value)}</text>'
        )


def _short(value: float) -> str:
    """Return a value as a short text, for an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _loss_ticks(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2, 5, 10, 20, … around the range from `low` to `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    first = max(index for index, tick in enumerate(ticks) if tick <= low)
    last = min(index for index, tick in enumerate(ticks) if tick > high)
    return ticks[first : last + 1]


def _even_ticks(high: float) -> list[float]:
    """Return about five round numbers from 0 to at least `high`."""
    if high <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(high))
    size = next(power * part for part in (0.2, 0.5, 1, 2, 5, 10) if high / (power * part) <= 5)
    return [size * number for number in range(math.ceil(high / size - 1e-9) + 1)]


def _step_ticks(last: int) -> list[int]:
    """Return about five round numbers of steps from 0."""
    power = 10 ** int(math.log10(last))
    sizes = [max(1, power * size // 10) for size in (1, 2, 5, 10, 20, 50)]
    size = next((size for size in sizes if last / size <= 5), last)
    return list(range(0, last + 1, size))
