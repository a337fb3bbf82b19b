"""The figures of an evaluation, and what each modality adds to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from mmmodal_eval.results import CaseResult, Figure, Gain, Outcome
from mmmodal_eval.statistics.clusters import Floats
from mmmodal_eval.statistics.estimates import difference_of, figure_of
from mmmodal_eval.statistics.slices import SLICES, Slicing, slices_of
from mmmodal_eval.statistics.tables import Scored, scorer_of, tables

__all__ = ["figures", "gains", "needless", "outcomes"]


def figures(cases: Sequence[CaseResult], slices: Slicing = SLICES) -> list[Figure]:
    """Return the figures of each scorer: of all cases and of slices, as asked and under controls.

    Cases without an answer or a score are in none of them; `outcomes` counts these.

    Raises:
        PartError: a scorer is not installed.
    """
    return [figure for table in tables(cases) for figure in _figures(table, slices)]


def gains(cases: Sequence[CaseResult], slices: Slicing = SLICES) -> list[Gain]:
    """Return the figures of questions as asked minus those under each control, paired.

    Only cases with a score of both are compared. The clusters are those of the cases as asked: a
    control that exchanges media links each case with one more, which is another one each time.

    Raises:
        PartError: a scorer is not installed.
    """
    return [gain for table in tables(cases) for gain in _gains(table, slices)]


def outcomes(cases: Iterable[CaseResult]) -> dict[Outcome, int]:
    """Return the number of cases of each outcome, also of those that are in no figure."""
    counts = Counter(case.outcome for case in cases)
    return {outcome: counts[outcome] for outcome in get_args(Outcome)}


def _figures(table: Scored, slices: Slicing) -> Iterator[Figure]:
    yield from _of(table, table.counts(), None, slices)
    for control in table.controls():
        yield from _of(*table.under(control), control, slices)


def _of(table: Scored, counts: Floats, control: str | None, slices: Slicing) -> Iterator[Figure]:
    for common, chosen in slices_of(table.cases, slices):
        found = figure_of(table.scorer, counts[chosen], table.clusters[chosen])
        if found is not None:
            yield Figure(
                scorer=table.label,
                slice=common,
                control=control,
                cases=found.cases,
                clusters=found.clusters,
                value=found.value,
                low=found.low,
                high=found.high,
                method=found.method,
            )


def _gains(whole: Scored, slices: Slicing) -> Iterator[Gain]:
    for control in whole.controls():
        table, under = whole.under(control)
        asked = table.counts()
        for common, chosen in slices_of(table.cases, slices):
            counts = under[chosen], asked[chosen]
            found = difference_of(table.scorer, *counts, table.clusters[chosen])
            if found is not None:
                yield Gain(
                    scorer=table.label,
                    slice=common,
                    control=control,
                    cases=found.cases,
                    clusters=found.clusters,
                    value=found.value,
                    low=found.low,
                    high=found.high,
                    method=found.method,
                )


def needless(gains: Iterable[Gain], least: float = 0.0) -> list[Gain]:
    """Return the gains of what is not shown to need its media, or its question.

    These are gains whose interval reaches down to `least`: as far as these cases show, answers are
    as good without. For a scorer of which lower is better, a gain is a figure that falls. Gains
    without an interval show nothing either way.

    Args:
        gains: those of an evaluation, as of tags and modalities.
        least: the gain from which on media are needed, in the unit of the figure.
    """
    return [gain for gain in gains if (low := _lowest(gain)) is not None and low <= least]


def _lowest(gain: Gain) -> float | None:
    """Return the end of an interval at which media help least."""
    if gain.low is None or gain.high is None:
        return None
    is_higher = scorer_of(gain.scorer).better == "higher"
    return gain.low if is_higher else -gain.high
