"""Paired differences of two evaluations: of all questions, and of slices of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmmodal_eval.comparing.pairs import Pairs
from mmmodal_eval.contracts import Scorer
from mmmodal_eval.results import CaseResult, ControlResult
from mmmodal_eval.statistics.clusters import Clusters, Floats, cluster_sums
from mmmodal_eval.statistics.estimates import (
    are_right_or_wrong,
    difference_of,
    figure_of,
    values_of,
    with_values,
)
from mmmodal_eval.statistics.intervals import Estimate
from mmmodal_eval.statistics.slices import SLICES, slices_of
from mmmodal_eval.statistics.tables import tables

__all__ = ["Compared", "RightOrWrong", "compared"]

OTHER = "other"
SLICED = {key: values for key, values in SLICES.items() if key != "outcome"}
"""By what questions are sliced; an outcome is one of an answer."""


@dataclass(frozen=True)
class RightOrWrong:
    """How right and wrong answers to the same questions differ."""

    gained: int
    """Answers that only the second got right."""

    lost: int
    """Answers that only the first got right."""

    sums: tuple[int, ...]
    """For each cluster, how many more answers the second got right."""


@dataclass(frozen=True)
class Compared:
    """The questions of one scorer, all or a slice of them, with the counts of both answers."""

    label: str
    scorer: Scorer
    slice: dict[str, str]
    first: Floats
    """Shape: [questions, counts], as that of `second`."""

    second: Floats
    clusters: Clusters
    """Shape: [questions]."""

    def difference(self, level: float = 0.95) -> Estimate | None:
        """Return the second figure minus the first; None if one of them is not defined."""
        return difference_of(self.scorer, self.first, self.second, self.clusters, level)

    def figures(self) -> tuple[float, float]:
        """Return the figures of both, where there is a difference."""
        kept = with_values(self.first) & with_values(self.second)
        kept = kept if self.scorer.is_mean else np.ones_like(kept)
        found = [
            figure_of(self.scorer, counts[kept], self.clusters[kept])
            for counts in (self.first, self.second)
        ]
        assert found[0] is not None and found[1] is not None
        return found[0].value, found[1].value

    def sums(self) -> tuple[Floats, Floats]:
        """Return the counts of both, added up by cluster. Shapes: [clusters, counts]."""
        return cluster_sums(self.first, self.clusters), cluster_sums(self.second, self.clusters)

    def right_or_wrong(self) -> RightOrWrong | None:
        """Return how right and wrong answers differ; None for scores of other values."""
        if not self.scorer.is_mean:
            return None
        kept = with_values(self.first) & with_values(self.second)
        before, after = values_of(self.first[kept]), values_of(self.second[kept])
        if not (are_right_or_wrong(before) and are_right_or_wrong(after)):
            return None
        change = after - before
        sums = cluster_sums(change[:, None], self.clusters[kept])[:, 0]
        gained, lost = int((change > 0).sum()), int((change < 0).sum())
        return RightOrWrong(gained, lost, tuple(int(one) for one in sums))


def compared(pairs: Pairs) -> Iterator[Compared]:
    """Yield the shared questions of each scorer: all, then each slice of them.

    Raises:
        PartError: a scorer is not installed.
    """
    for whole in tables(_joined(pairs.shared)):
        table, second = whole.under(OTHER)
        first = table.counts()
        for common, chosen in slices_of(table.cases, SLICED):
            yield Compared(
                label=table.label,
                scorer=table.scorer,
                slice=common,
                first=first[chosen],
                second=second[chosen],
                clusters=table.clusters[chosen],
            )


def _joined(shared: Sequence[tuple[CaseResult, CaseResult]]) -> list[CaseResult]:
    """Return the first cases, which hold the second answers as those of a control.

    Another model's answer to the same question is paired with it as that under a control is.
    """
    return [
        one.model_copy(
            update={
                "controls": {
                    OTHER: ControlResult(
                        answer=other.answer, outcome=other.outcome, counts=other.counts
                    )
                }
            }
        )
        for one, other in shared
    ]
