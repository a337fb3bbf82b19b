"""Charts of the report as inline SVG: marks on a scale of accuracy."""

from __future__ import annotations

from collections.abc import Mapping

from mmmodal.authoring.reports import Scale

__all__ = ["TARGET", "accuracy_scale", "mark", "row_chart"]

TARGET = 0.9  # a lower accuracy is marked
SCALE = Scale((0, 0.25, 0.5, 0.75, TARGET, 1), lambda at: f"{100 * at:.0f}", {TARGET: "target"})
SHAPES = {
    "accuracy": '<circle r="6.5"/>',
    "stage1": '<path d="M0 -6.5 6.5 0 0 6.5 -6.5 0Z"/>',
    "majority": '<path d="M-4.8 -4.8h9.6v9.6h-9.6Z"/>',
    "shuffled": '<path d="M0 -6 6 4.8 -6 4.8Z"/>',
}
"""The mark of each measure; marks differ in form, not only in colour."""


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
        f'<svg class="mark {name}" x="{SCALE.place(row[name])}" y="50%" overflow="visible">'
        f"{SHAPES[name]}</svg>"
        for name in order
    )
    return SCALE.drawing(
        f'<rect class="bar" y="50%" height="8" width="{SCALE.place(row["accuracy"])}" rx="4" '
        f'transform="translate(0 -4)"/>{_whisker(row)}{marks}'
    )


def _whisker(row: Mapping[str, float]) -> str:
    """Return the interval of the accuracy as a line behind its mark."""
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return ""
    ends = f'x1="{SCALE.place(low)}" x2="{SCALE.place(high)}"'
    return f'<line class="whisker" {ends} y1="50%" y2="50%"/>'


def accuracy_scale() -> str:
    """Return the numbers of the scale above the charts of rows."""
    return SCALE.numbers()
