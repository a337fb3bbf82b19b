"""Charts of the report as inline SVG: marks on a scale of accuracy, loss curves, sound waves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TARGET", "accuracy_scale", "loss_chart", "mark", "row_chart", "wave"]

TARGET = 0.9  # an accuracy below it is marked
SHAPES = {
    "accuracy": '<circle r="6.5"/>',
    "stage1": '<path d="M0 -6.5 6.5 0 0 6.5 -6.5 0Z"/>',
    "majority": '<path d="M-4.8 -4.8h9.6v9.6h-9.6Z"/>',
    "shuffled": '<path d="M0 -6 6 4.8 -6 4.8Z"/>',
}
"""What stands for each measure: told apart by its form, not by colour alone."""

WIDTH, HEIGHT = 480, 270  # of a loss chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 46, 418, 32, 222  # the edges of its plot
LOWEST_LOSS = 1e-4  # a logarithmic scale has no zero
MOST_POINTS = 400
BARS = 44  # of a sound wave


def mark(measure: str) -> str:
    """Draw a measure's mark alone, for the legend."""
    return (
        f'<svg class="mark {measure}" viewBox="-8 -8 16 16" width="16" height="16" '
        f'aria-hidden="true">{SHAPES[measure]}</svg>'
    )


def row_chart(row: Mapping[str, float]) -> str:
    """Draw a task's measures on one scale; lengths are shares, so that it fits any width."""
    order = [name for name in ("majority", "shuffled", "stage1", "accuracy") if name in row]
    marks = "".join(
        f'<svg class="mark {name}" x="{_share(row[name])}" y="50%" overflow="visible">'
        f"{SHAPES[name]}</svg>"
        for name in order
    )
    return (
        f'<svg class="scale" aria-hidden="true">{_grid()}'
        f'<rect class="bar" y="50%" height="8" width="{_share(row["accuracy"])}" rx="4" '
        f'transform="translate(0 -4)"/>{marks}</svg>'
    )


def accuracy_scale() -> str:
    """Draw the numbers above the charts of rows."""
    numbers = "".join(
        f'<text x="{_share(at)}" y="50%">{100 * at:.0f}</text>'
        for at in (0, 0.25, 0.5, 0.75, TARGET, 1)
    )
    return f'<svg class="scale numbers" aria-hidden="true">{numbers}</svg>'


def _grid() -> str:
    lines = (
        f'<line class="{"target" if at == TARGET else "grid"}" x1="{_share(at)}" x2="{_share(at)}" '
        'y1="0" y2="100%"/>'
        for at in (0, 0.25, 0.5, 0.75, TARGET, 1)
    )
    return "".join(lines)


def _share(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def loss_chart(rows: Iterable[Mapping[str, Any]], name: str) -> str:
    """Draw the loss by step on a logarithmic scale; rows without a finite loss are left out."""
    points = _thinned([point for row in rows if (point := _point(row)) is not None])
    if not points:
        said = f"{name}: no loss was logged"
        middle = f'<text class="none" x="{WIDTH // 2}" y="{HEIGHT // 2}">no loss was logged</text>'
    else:
        said = (
            f"{name}: the loss goes from {points[0][1]:.3g} to {points[-1][1]:.3g} "
            f"in {points[-1][0]:,} steps"
        )
        middle = _Plot(points).draw()
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
        f"{middle}</svg>"
    )


def _point(row: Mapping[str, Any]) -> tuple[int, float] | None:
    step, loss = row.get("step"), row.get("loss")
    if not isinstance(step, int) or not isinstance(loss, int | float) or not math.isfinite(loss):
        return None
    return step, max(float(loss), LOWEST_LOSS)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Leave out points that are too close to be seen apart, but never the last one."""
    every = math.ceil(len(points) / MOST_POINTS) or 1
    return points[::-1][::every][::-1]


class _Plot:
    """Points of a curve and the scales that hold them."""

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        self.points = points
        losses = [loss for _, loss in points]
        self.losses = _loss_ticks(min(losses), max(losses))
        self.last = max(points[-1][0], 1)

    def draw(self) -> str:
        """Return the axes and the curve."""
        return self._loss_axis() + self._step_axis() + self._curve()

    def x(self, step: float) -> float:
        """Return where a step is from left to right."""
        return LEFT + (RIGHT - LEFT) * step / self.last

    def y(self, loss: float) -> float:
        """Return where a loss is from top to bottom."""
        low, high = math.log(self.losses[0]), math.log(self.losses[-1])
        return BOTTOM - (BOTTOM - TOP) * (math.log(loss) - low) / (high - low)

    def _loss_axis(self) -> str:
        many = len(self.losses) > 8
        drawn = [
            f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{self.y(tick):.1f}" '
            f'y2="{self.y(tick):.1f}"/>'
            f'<text class="loss" x="{LEFT - 8}" y="{self.y(tick):.1f}">{tick:g}</text>'
            for tick in self.losses
            if not many or math.log10(tick).is_integer()
        ]
        return f'<text class="loss" x="{LEFT - 8}" y="10">loss</text>' + "".join(drawn)

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
        places = [f"{self.x(step):.1f} {self.y(loss):.1f}" for step, loss in self.points]
        line = "L".join(places)
        step, loss = self.points[-1]
        x, y = self.x(step), self.y(loss)
        return (
            f'<path class="line" d="M{line}"/>'
            f'<circle class="end" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text class="last" x="{x + 10:.1f}" y="{y:.1f}">{loss:.3g}</text>'
        )


def _loss_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10, 20, … from the last that is not above `low` to beyond `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    first = max(index for index, tick in enumerate(ticks) if tick <= low)
    last = min(index for index, tick in enumerate(ticks) if tick > high)
    return ticks[first : last + 1]


def _step_ticks(last: int) -> list[int]:
    """Return some four or five round numbers of steps from 0."""
    power = 10 ** int(math.log10(last))
    sizes = [max(1, power * size // 10) for size in (1, 2, 5, 10, 20, 50)]
    size = next((size for size in sizes if last / size <= 5), last)
    return list(range(0, last + 1, size))


def wave(samples: NDArray[np.float32]) -> str:
    """Draw how loud a clip is from beginning to end."""
    import numpy as np

    pieces = np.array_split(np.abs(samples), BARS)
    loudness = [float(piece.max()) if piece.size else 0.0 for piece in pieces]
    loudest = max(loudness) or 1.0
    bars = "".join(
        f'<rect x="{5 * index + 1}" y="{20 - 18 * value / loudest - 1:.1f}" width="3" '
        f'height="{36 * value / loudest + 2:.1f}" rx="1.5"/>'
        for index, value in enumerate(loudness)
    )
    return (
        f'<svg class="wave" viewBox="0 0 {5 * BARS} 40" preserveAspectRatio="none" '
        f'aria-hidden="true">{bars}</svg>'
    )
