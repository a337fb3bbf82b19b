"""Charts of the report as inline SVG: marks on a scale of accuracy, and sound waves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TARGET", "accuracy_scale", "mark", "row_chart", "wave"]

TARGET = 0.9  # a lower accuracy is marked
SHAPES = {
    "accuracy": '<circle r="6.5"/>',
    "stage1": '<path d="M0 -6.5 6.5 0 0 6.5 -6.5 0Z"/>',
    "majority": '<path d="M-4.8 -4.8h9.6v9.6h-9.6Z"/>',
    "shuffled": '<path d="M0 -6 6 4.8 -6 4.8Z"/>',
}
"""The mark of each measure; marks differ in form, not only in colour."""

BARS = 44  # of a sound wave


def mark(measure: str) -> str:
    """Return the mark of a measure, for the legend."""
    return (
        f'<svg class="mark {measure}" viewBox="-8 -8 16 16" width="16" height="16" '
        f'aria-hidden="true">{SHAPES[measure]}</svg>'
    )


def row_chart(row: Mapping[str, float]) -> str:
    """Return a task's measures on one scale, with relative lengths, so that it fits any width."""
    order = [name for name in ("majority", "shuffled", "stage1", "accuracy") if name in row]
    marks = "".join(
        f'<svg class="mark {name}" x="{_share(row[name])}" y="50%" overflow="visible">'
        f"{SHAPES[name]}</svg>"
        for name in order
    )
    return (
        f'<svg class="scale" aria-hidden="true">{_grid()}'
        f'<rect class="bar" y="50%" height="8" width="{_share(row["accuracy"])}" rx="4" '
        f'transform="translate(0 -4)"/>{_whisker(row)}{marks}</svg>'
    )


def _whisker(row: Mapping[str, float]) -> str:
    """Return the interval of the accuracy as a line behind its mark."""
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return ""
    return f'<line class="whisker" x1="{_share(low)}" x2="{_share(high)}" y1="50%" y2="50%"/>'


def accuracy_scale() -> str:
    """Return the numbers of the scale above the charts of rows."""
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


def wave(samples: NDArray[np.float32]) -> str:
    """Return the waveform of a clip as SVG."""
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
