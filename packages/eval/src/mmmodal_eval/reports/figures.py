"""The figures of models: the headline, and tables of all slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mmmodal.authoring.reports import Scale, figure_list
from mmmodal_eval.comparing.evaluations import Evaluation
from mmmodal_eval.reports.numbers import figure_text, interval_text, sign_of, tick_text
from mmmodal_eval.reports.rows import Row, interval_table
from mmmodal_eval.reports.slices import by_key, slice_name
from mmmodal_eval.results import Figure, Results
from mmmodal_eval.statistics.tables import scorer_of, tables

__all__ = ["figure_row", "figure_tables", "headline", "scorers_of"]

MEANINGS = {
    "share": "of what was asked is right",
    "rate": "errors, of what was to be said",
    "points": "points of 100",
}
"""What a figure is, by its unit."""


def headline(found: Sequence[Results]) -> str:
    """Return what the evaluation found in short, as HTML."""
    first = found[0]
    asked = f"{first.data['cases']:,} questions in {first.data['conversations']:,} conversations"
    if len(found) > 1:
        listed = dict(_in_short(found))
        title = f"<h1>{len(found)} models on the same questions</h1>"
        return f'{title}<p class="lead">{asked}.</p>{figure_list(listed)}'
    whole = _whole(first)
    if not whole:
        return f'<h1>No answer was scored</h1><p class="lead">{asked}.</p>{_counts(first)}'
    return (
        f"{_number(whole[0])}"
        f'<p class="lead">{_interval(whole[0])}{escape(first.name)} was asked {asked}.</p>'
        f"{_counts(first, whole[1:])}"
    )


def _whole(results: Results) -> list[Figure]:
    """Return the figures of all questions as asked, one of each scorer."""
    return [figure for figure in results.figures if not figure.slice and figure.control is None]


def _in_short(found: Sequence[Results]) -> Iterator[tuple[str, str]]:
    """Yield the name of each model, with its first figure and what its answers came to."""
    for each in found:
        named = [f"{number:,} {outcome}" for outcome, number in each.outcomes.items() if number]
        came = f"<small>{escape(', '.join(named))}</small>"
        figures = _whole(each)
        yield escape(each.name), f"{_short(figures[0]) if figures else '–'}{came}"


def _short(figure: Figure) -> str:
    ends = interval_text(figure.low, figure.high, figure.scorer)
    value = f"{figure_text(figure.value, figure.scorer)}&thinsp;{sign_of(figure.scorer)}"
    return f"{value}<small>{ends}, by {escape(figure.scorer)}</small>"


def _number(figure: Figure) -> str:
    sign = sign_of(figure.scorer)
    behind = f'<span class="sign">{sign}</span>' if sign else ""
    meaning = MEANINGS[scorer_of(figure.scorer).unit]
    return (
        f'<h1><span class="number">{figure_text(figure.value, figure.scorer)}{behind}</span> '
        f"{meaning}, by {escape(figure.scorer)}</h1>"
    )


def _interval(figure: Figure) -> str:
    if figure.low is None:
        return f"There is no interval ({escape(figure.method)}). "
    ends = interval_text(figure.low, figure.high, figure.scorer)
    return f"95&thinsp;% interval: {ends} ({escape(figure.method)}). "


def _counts(results: Results, others: Sequence[Figure] = ()) -> str:
    """Return the figures of other scorers, and what the answers came to."""
    listed = {f"By {escape(each.scorer)}": _short(each) for each in others}
    for outcome, number in results.outcomes.items():
        listed[f"{outcome.capitalize()}"] = f"{number:,}<small>{ABOUT[outcome]}</small>"
    if skipped := results.data.get("skipped"):
        listed["Bad rows"] = f"{skipped:,}<small>left out</small>"
    return figure_list(listed)


ABOUT = {
    "scored": "whole answers",
    "empty": "no text; scored as it is",
    "cut off": "too long; scored as it is",
    "failed": "no answer; in no figure",
    "unscored": "no score; in no figure",
}
"""The outcomes, and what they mean for figures."""


def scorers_of(found: Sequence[Results]) -> list[str]:
    """Return the scorers of all models, in order of appearance."""
    return list(dict.fromkeys(figure.scorer for each in found for figure in each.figures))


def figure_tables(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Yield a table of the figures of each scorer: of all questions, and of slices of them."""
    found = [each.results for each in evaluations]
    notes = dict(_notes(evaluations))
    for label in scorers_of(found):
        named = [
            (each.name, figure)
            for each in found
            for figure in each.figures
            if figure.scorer == label and figure.control is None
        ]
        owners = {id(figure): name for name, figure in named}
        ends = [end for _, f in named for end in (f.value, f.low, f.high) if end is not None]
        groups = {
            title: [figure_row(f, owners[id(f)]) for f in _by_slice(members)]
            for title, members in by_key(figure for _, figure in named).items()
        }
        scale = Scale.around(ends, tick_text(label))
        heading = f"Figure {sign_of(label)}".strip()
        table = interval_table(
            f"Figures by {label}", heading, groups, scale, with_models=len(found) > 1
        )
        yield f"<h3>{escape(label)}</h3>{_signature(found, label)}{notes.get(label, '')}{table}"


def _notes(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, str]]:
    """Yield each scorer of which there is more to know than its figures, with that as HTML."""
    said: dict[str, str] = {}
    for evaluation in evaluations:
        name = f"{evaluation.results.name}: " if len(evaluations) > 1 else ""
        for table in tables(evaluation.cases):
            for note in table.scorer.notes(table.counts().sum(axis=0).tolist()):
                line = f'<li dir="auto">{escape(name + note)}</li>'
                said[table.label] = said.get(table.label, "") + line
    for label, lines in said.items():
        yield label, f'<ul class="notes">{lines}</ul>'


def _signature(found: Sequence[Results], label: str) -> str:
    """Return what the figures of a scorer depend on, and which are the better ones."""
    signature = next((s for each in found if (s := each.signatures.get(label))), label)
    return f'<p class="intro">{escape(signature)}; {scorer_of(label).better} is better.</p>'


def _by_slice(figures: Sequence[Figure]) -> list[Figure]:
    """Return figures with those of the same slice side by side."""
    places: dict[str, int] = {}
    for each in figures:
        places.setdefault(slice_name(each.slice), len(places))
    return sorted(figures, key=lambda each: places[slice_name(each.slice)])


def figure_row(figure: Figure, model: str, name: str = "") -> Row:
    """Return a figure as a row of a table."""
    label = figure.scorer
    return Row(
        name or slice_name(figure.slice),
        model,
        figure.value,
        figure.low,
        figure.high,
        figure_text(figure.value, label),
        {
            "95 % interval": interval_text(figure.low, figure.high, label),
            "Questions": f"{figure.cases:,}",
            "Clusters": f"{figure.clusters:,}",
        },
    )
