"""Two models on the same questions: paired differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mmmodal.authoring.reports import Scale
from mmmodal_eval.comparing.comparison import Comparison, Difference
from mmmodal_eval.reports.numbers import (
    difference_text,
    figure_text,
    interval_text,
    sign_of,
    tick_text,
)
from mmmodal_eval.reports.rows import Row, interval_table
from mmmodal_eval.reports.slices import by_key, slice_name

__all__ = ["difference_tables"]

VERDICTS = {
    "better": ("better", "B better"),
    "worse": ("worse", "B worse"),
    "no difference shown": ("", "none shown"),
}
"""The class of a row and its words for each verdict."""


def difference_tables(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield the tables of each comparison, with what the two evaluations do not share."""
    for comparison in comparisons:
        shared = comparison.shared
        title = f"{shared.b} compared with {shared.a}"
        notes = "".join(f"<li>{escape(note)}</li>" for note in shared.notes)
        yield (
            f'<h3 dir="auto">{escape(title)}</h3><p class="intro">{shared.cases:,} questions that '
            "both answered, paired. A is "
            f"{escape(shared.a)}, B is {escape(shared.b)}.</p>"
        )
        yield f'<ul class="notes">{notes}</ul>' if notes else ""
        for label in dict.fromkeys(each.scorer for each in comparison.differences):
            yield _table(title, label, [d for d in comparison.differences if d.scorer == label])


def _table(title: str, label: str, found: Sequence[Difference]) -> str:
    ends = [end for d in found for end in (0.0, d.value, d.low, d.high) if end is not None]
    scale = Scale.around(ends, tick_text(label))
    groups = {key: [_row(each) for each in members] for key, members in by_key(found).items()}
    heading = f"B − A {sign_of(label)}".strip()
    table = interval_table(f"{title}, by {label}", heading, groups, scale, with_models=False)
    return f'<p class="intro">By {escape(label)}:</p>{table}'


def _row(found: Difference) -> Row:
    label = found.scorer
    mark, verdict = VERDICTS[found.verdict]
    changed = "–" if found.gained is None else f"{found.gained:,} / {found.lost:,}"
    probability = found.p if found.p_holm is None else found.p_holm
    cells = {
        "95 % interval": interval_text(found.low, found.high, label, difference_text),
        "A": figure_text(found.a, label),
        "B": figure_text(found.b, label),
        "Gained / lost": changed,
        "p, Holm": "< 0.0001" if probability < 0.0001 else f"{probability:.4f}",
        "Questions": f"{found.cases:,}",
        "Difference": verdict,
    }
    shown = difference_text(found.value, label)
    name = slice_name(found.slice)
    return Row(name, "", found.value, found.low, found.high, shown, cells, mark)
