"""What the media add: figures with media and questions exchanged or left out, and the gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mmmodal.authoring.reports import Scale
from mmmodal_eval.reports.figures import figure_row, scorers_of
from mmmodal_eval.reports.numbers import difference_text, interval_text, sign_of, tick_text
from mmmodal_eval.reports.rows import Row, interval_table
from mmmodal_eval.reports.slices import by_key, slice_name
from mmmodal_eval.results import Figure, Gain, Results
from mmmodal_eval.statistics.figures import needless

__all__ = ["looking"]

NEEDED = "Every task, modality and language needs what was exchanged or left out."
NOT_NEEDED = (
    "As far as these questions show, answers are as good without what was exchanged or left out "
    "(the interval of the gain reaches zero):"
)
TASKS = ("", "tag", "modality", "lang")
"""The kinds of slices that may be tasks, which need their media or do not."""


def looking(found: Sequence[Results]) -> Iterator[str]:
    """Yield what the controls show of each scorer as HTML; nothing if none was asked."""
    for label in scorers_of(found):
        gains = [(each.name, gain) for each in found for gain in each.gains if gain.scorer == label]
        if gains:
            yield f"<h3>{escape(label)}</h3>{_table(found, label)}"
            for each in found:
                yield _needless(each, label, several=len(found) > 1)
            yield from _by_slice(gains, label, several=len(found) > 1)
    yield _not_changed(found[0])


def _table(found: Sequence[Results], label: str) -> str:
    """Return the figure as asked and under each control, with the gains."""
    named = [
        (each, figure)
        for each in found
        for figure in each.figures
        if figure.scorer == label and not figure.slice
    ]
    names = list(dict.fromkeys(figure.control for _, figure in named))
    rows = [
        _control_row(each, figure)
        for name in names
        for each, figure in named
        if figure.control == name
    ]
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    scale = Scale.around(ends, tick_text(label))
    heading = f"Figure {sign_of(label)}".strip()
    title = f"Figures by {label} as asked and under controls"
    return interval_table(title, heading, {"": rows}, scale, with_models=len(found) > 1)


def _control_row(results: Results, figure: Figure) -> Row:
    row = figure_row(figure, results.name, figure.control or "as asked")
    same = (g for g in results.gains if not g.slice and _key(g) == _key(figure))
    gain = next(same, None)
    cells = {
        "95 % interval": row.cells["95 % interval"],
        "Gain": difference_text(gain.value, gain.scorer) if gain else "–",
        "Its 95 % interval": _gain_interval(gain) if gain else "–",
        "Questions": row.cells["Questions"],
    }
    return Row(row.name, row.model, row.value, row.low, row.high, row.shown, cells)


def _not_changed(results: Results) -> str:
    """Return which conversations are not under a control, and why."""
    lines = "".join(
        f"<li>{escape(control)}: {number:,} not changed: {escape(reason)}</li>"
        for control, reasons in results.data.get("not_changed", {}).items()
        for reason, number in reasons.items()
    )
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def _key(found: Figure | Gain) -> tuple[str, str | None]:
    return found.scorer, found.control


def _gain_interval(gain: Gain) -> str:
    return interval_text(gain.low, gain.high, gain.scorer, difference_text)


def _needless(results: Results, label: str, *, several: bool) -> str:
    """Return what is answered as well without what a control takes away."""
    chosen = [
        gain
        for gain in results.gains
        if gain.scorer == label and next(iter(gain.slice), "") in TASKS
    ]
    listed: dict[str, list[Gain]] = {}
    for gain in needless(chosen):
        listed.setdefault(gain.control, []).append(gain)
    about = f"<b>{escape(results.name)}</b>: " if several else ""
    if not listed and all(gain.low is None for gain in chosen):
        return ""
    if not listed:
        return f'<p class="finding">{about}{NEEDED}</p>'
    lines = "".join(
        f"<li>{escape(control)}: {' '.join(map(_needless_gain, gains))}</li>"
        for control, gains in listed.items()
    )
    return f'<div class="finding"><p>{about}{NOT_NEEDED}</p><ul>{lines}</ul></div>'


def _needless_gain(gain: Gain) -> str:
    return (
        f'<span class="tag" dir="auto">{escape(slice_name(gain.slice))} '
        f"{difference_text(gain.value, gain.scorer)}</span>"
    )


def _by_slice(gains: Sequence[tuple[str, Gain]], label: str, *, several: bool) -> Iterator[str]:
    """Yield a table of the gains of all slices for each control."""
    ends = [end for _, g in gains for end in (0.0, g.value, g.low, g.high) if end is not None]
    scale = Scale.around(ends, tick_text(label))
    for control in dict.fromkeys(gain.control for _, gain in gains):
        owners = {id(gain): name for name, gain in gains if gain.control == control}
        chosen = [gain for _, gain in gains if gain.control == control]
        doubtful = {id(gain) for gain in needless(chosen)}
        groups = {
            title: [_gain_row(gain, owners[id(gain)], id(gain) in doubtful) for gain in members]
            for title, members in by_key(chosen).items()
        }
        title = f"Gain by {label}: as asked minus {control}"
        heading = f"Gain {sign_of(label)}".strip()
        table = interval_table(title, heading, groups, scale, with_models=several)
        yield f"<details><summary>{escape(title)}, by slice</summary>{table}</details>"


def _gain_row(gain: Gain, model: str, doubtful: bool) -> Row:
    cells = {
        "95 % interval": _gain_interval(gain),
        "Needed": "not shown" if doubtful else "yes" if gain.low is not None else "–",
        "Questions": f"{gain.cases:,}",
    }
    shown = difference_text(gain.value, gain.scorer)
    mark = "doubtful" if doubtful else ""
    name = slice_name(gain.slice)
    return Row(name, model, gain.value, gain.low, gain.high, shown, cells, mark)
