"""Cases of one scorer as arrays, of which figures are made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmmodal_eval.contracts import Scorer
from mmmodal_eval.parts import scorer
from mmmodal_eval.results import CaseResult, ControlResult
from mmmodal_eval.statistics.clusters import Clusters, Floats, cluster_numbers

__all__ = ["Scored", "is_counted", "label_of", "scored_of", "scorer_of", "tables"]


@dataclass(frozen=True)
class Scored:
    """The cases of one scorer that have a score."""

    label: str
    """The name of the scorer; with its options, if cases have different ones."""

    scorer: Scorer
    cases: Sequence[CaseResult]
    clusters: Clusters
    """Shape: [cases]."""

    def counts(self) -> Floats:
        """Return what each case counts. Shape: [cases, counts]."""
        return np.asarray([case.counts for case in self.cases], dtype=np.float64)

    def under(self, control: str) -> tuple[Scored, Floats]:
        """Return the cases with a score under a control too, and what they count under it."""
        found = [
            (case, result.counts)
            for case in self.cases
            if (result := case.controls.get(control)) is not None and is_counted(result)
        ]
        counts = np.asarray([counted for _, counted in found], dtype=np.float64)
        return scored_of(self.label, self.scorer, [case for case, _ in found]), counts

    def controls(self) -> list[str]:
        """Return the names of the controls that some case was put to, in order of appearance."""
        return list(dict.fromkeys(name for case in self.cases for name in case.controls))


def is_counted(result: CaseResult | ControlResult) -> bool:
    """Return whether an answer is in figures: it is there, and has a score."""
    return result.counts is not None and result.outcome not in ("failed", "unscored")


def scored_of(label: str, found: Scorer, cases: Sequence[CaseResult]) -> Scored:
    """Return cases of one scorer with their clusters."""
    return Scored(label, found, cases, cluster_numbers([case.cluster for case in cases]))


def tables(cases: Iterable[CaseResult]) -> Iterator[Scored]:
    """Yield the cases of each scorer that have a score, in order of appearance.

    Means of answers that were scored by different options, such as the tolerances of different
    questions, are one mean. The figures of corpora are computed for each options by themselves.

    Raises:
        PartError: a scorer is not installed any more.
    """
    groups: dict[tuple[str, str], list[CaseResult]] = {}
    means: dict[str, bool] = {}
    for case in cases:
        if is_counted(case):
            if case.scorer not in means:
                means[case.scorer] = scorer(case.scorer, case.options).is_mean
            options = "" if means[case.scorer] else label_of(case)
            groups.setdefault((case.scorer, options), []).append(case)
    for (name, options), members in groups.items():
        several = sum(other == name for other, _ in groups) > 1
        found = scorer(name, members[0].options)
        yield scored_of(options if several else name, found, members)


def label_of(case: CaseResult) -> str:
    """Return the name of the scorer of a case with its options."""
    return f"{case.scorer} {json.dumps(case.options, sort_keys=True)}"


def scorer_of(label: str) -> Scorer:
    """Return the scorer of a label.

    Raises:
        PartError: it is not installed.
    """
    name, _, options = label.partition(" ")
    return scorer(name, json.loads(options) if options else None)
