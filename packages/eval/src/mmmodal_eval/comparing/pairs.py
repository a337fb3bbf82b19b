"""Questions that two evaluations share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmmodal_eval.results import CaseResult
from mmmodal_eval.statistics.tables import is_counted

__all__ = ["Pairs", "pairs_of"]

Key = tuple[str, int, str, str, str, int]


@dataclass(frozen=True)
class Pairs:
    """The cases of two evaluations that are the same question, and the numbers of others."""

    shared: tuple[tuple[CaseResult, CaseResult], ...]
    """The pairs of which both have a score."""

    only_first: int
    """Cases whose record, turn and scorer are in the first only."""

    only_second: int
    changed: int
    """Cases of the same record, turn and scorer that ask or expect something else."""

    unscored_first: int
    """Shared questions that only the first left without a score."""

    unscored_second: int
    unscored_both: int


def pairs_of(first: Sequence[CaseResult], second: Sequence[CaseResult]) -> Pairs:
    """Return the pairs of cases with the same record, turn, scorer, options and digest.

    Cases that are alike in all of these are paired in their order.
    """
    ours, theirs = dict(_keyed(first)), dict(_keyed(second))
    same = [(case, theirs[key]) for key, case in ours.items() if key in theirs]
    alone = [
        Counter(key[:3] for key in one.keys() - other.keys())
        for one, other in ((ours, theirs), (theirs, ours))
    ]
    changed = (alone[0] & alone[1]).total()
    states = Counter((is_counted(one), is_counted(other)) for one, other in same)
    return Pairs(
        shared=tuple(pair for pair in same if all(map(is_counted, pair))),
        only_first=alone[0].total() - changed,
        only_second=alone[1].total() - changed,
        changed=changed,
        unscored_first=states[False, True],
        unscored_second=states[True, False],
        unscored_both=states[False, False],
    )


def _keyed(cases: Sequence[CaseResult]) -> Iterator[tuple[Key, CaseResult]]:
    seen: Counter[tuple[str, int, str, str, str]] = Counter()
    for case in cases:
        options = json.dumps(case.options, sort_keys=True)
        key = (case.record, case.turn, case.scorer, options, case.digest)
        yield (*key, seen[key]), case
        seen[key] += 1
