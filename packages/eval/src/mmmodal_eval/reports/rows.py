"""Tables whose rows have a dot with an interval on a common scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from mmmodal.authoring.reports import Scale

__all__ = ["Row", "interval_table"]


@dataclass(frozen=True)
class Row:
    """One row: what it is about, a value with its interval, and further cells."""

    name: str
    model: str
    value: float
    low: float | None
    high: float | None
    shown: str
    """The value as text."""

    cells: Mapping[str, str] = field(default_factory=dict)
    """Further cells as text, by the headings of their columns."""

    mark: str = ""
    """The class of the row."""


def interval_table(
    label: str,
    heading: str,
    groups: Mapping[str, Sequence[Row]],
    scale: Scale,
    *,
    with_models: bool,
) -> str:
    """Return a table as HTML.

    Args:
        label: what the table shows, as text.
        heading: the heading of the column of values.
        groups: the rows by the heading of their group; those of "" have none.
        scale: the scale of the values.
        with_models: whether the rows are of several models.
    """
    further = next((list(row.cells) for rows in groups.values() for row in rows), [])
    numbers = "".join(_head(name, "number") for name in (heading, *further))
    model = _head("Model", "model") if with_models else ""
    head = (
        f'<tr role="row">{_head("", "name", said="Of")}{model}'
        f'<td role="cell" class="chart">{scale.numbers()}</td>{numbers}</tr>'
    )
    columns = 3 + len(further) + with_models
    bodies = "".join(
        _body(title, rows, scale, heading, columns, with_models=with_models)
        for title, rows in groups.items()
    )
    return (
        f'<div class="card"><table class="dots" role="table" aria-label="{escape(label)}">'
        f'<thead role="rowgroup">{head}</thead>{bodies}</table></div>'
    )


def _head(name: str, kind: str, said: str = "") -> str:
    text = f'<span class="unseen">{said}</span>' if said else escape(name)
    return f'<th role="columnheader" scope="col" class="{kind}">{text}</th>'


def _body(
    title: str,
    rows: Iterable[Row],
    scale: Scale,
    heading: str,
    columns: int,
    *,
    with_models: bool,
) -> str:
    group = (
        f'<tr role="row" class="group"><th role="rowheader" scope="rowgroup" '
        f'colspan="{columns}">{escape(title)}</th></tr>'
        if title
        else ""
    )
    drawn = "".join(_rows(rows, scale, heading, with_models=with_models))
    return f'<tbody role="rowgroup">{group}{drawn}</tbody>'


def _rows(rows: Iterable[Row], scale: Scale, heading: str, *, with_models: bool) -> Iterator[str]:
    before = None
    for row in rows:
        first = "first" if row.name != before else "further"
        model = f'<td role="cell" class="model">{escape(row.model)}</td>' if with_models else ""
        cells = "".join(
            f'<td role="cell" class="number" data-name="{escape(name)}">{escape(text)}</td>'
            for name, text in row.cells.items()
        )
        yield (
            f'<tr role="row" class="{first} {row.mark}"><th role="rowheader" scope="row" '
            f'class="name" dir="auto">{escape(row.name)}</th>{model}<td role="cell" class="chart">'
            f"{scale.interval(row.value, row.low, row.high)}</td>"
            f'<td role="cell" class="number value" data-name="{escape(heading)}">'
            f"{escape(row.shown)}</td>{cells}</tr>"
        )
        before = row.name
