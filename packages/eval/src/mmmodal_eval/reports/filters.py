"""What the shown questions can be filtered by."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from mmmodal_eval.reports.slices import KEYS
from mmmodal_eval.statistics.slices import numbers_first

__all__ = ["filters"]

MORE = {"answer": "Answer", "scorer": "Scorer"}


def filters(places: Iterable[str]) -> str:
    """Return a form that the page's script shows: a choice of values for each kind of slice.

    Args:
        places: what the shown questions are in, each as `lang=ms`.
    """
    values: dict[str, dict[str, None]] = {}
    for place in places:
        key, _, value = place.partition("=")
        values.setdefault(key, {})[value] = None
    chosen = "".join(
        _choice(key, title, sorted(values[key], key=numbers_first))
        for key, title in (KEYS | MORE).items()
        if len(values.get(key, ())) > 1
    )
    return (
        f'<form id="filter" class="filters" hidden aria-label="Filter the questions">{chosen}'
        '<button type="reset">All</button><output aria-live="polite"></output></form>'
    )


def _choice(key: str, title: str, values: Iterable[str]) -> str:
    options = "".join(
        f'<option value="{escape(f"{key}={value}")}">{escape(value)}</option>' for value in values
    )
    return f'<label>{escape(title)} <select><option value="">all</option>{options}</select></label>'
