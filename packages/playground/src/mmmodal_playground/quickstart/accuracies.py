"""Accuracies by task and language, beside those of answers without what they need."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import MMModalError

if TYPE_CHECKING:
    from mmmodal_eval import CaseResult, Figure

__all__ = ["EXCHANGED", "accuracies", "majorities", "task_of"]

EXCHANGED = "media exchanged"
"""The control of the shuffled baseline: media of other conversations of the task and language."""


def task_of(case: CaseResult) -> str:
    """Return the task and language of a question, such as `image-en`.

    Raises:
        MMModalError: the data were not made by this version of the quickstart.
    """
    if not case.tags:
        raise MMModalError(
            f"{case.where}: it does not say its task, as data of an earlier version do not; remove "
            "the quickstart's folder, or choose another --out"
        )
    return f"{case.tags[0]}-{case.lang}"


def accuracies(
    trained: Sequence[CaseResult], aligned: Sequence[CaseResult]
) -> dict[str, dict[str, Any]]:
    """Return the figures of each task and language, in order of appearance.

    Args:
        trained: the questions that the trained model was asked, also under the control `EXCHANGED`.
        aligned: the same questions to the model of stage 1.
    """
    right, shuffled = _by_task(trained), _by_task(trained, EXCHANGED)
    before, majority = _by_task(aligned), majorities(trained)
    asked: dict[str, set[str]] = defaultdict(set)
    for case in trained:
        asked[task_of(case)].add(case.record)
    return {
        task: {
            "accuracy": right[task].value,
            "low": right[task].low,
            "high": right[task].high,
            "n": right[task].cases,
            "conversations": len(records),
            "majority": majority[task],
            "shuffled": shuffled[task].value,
            "stage1": before[task].value,
        }
        for task, records in asked.items()
    }


def _by_task(cases: Sequence[CaseResult], control: str | None = None) -> Mapping[str, Figure]:
    from mmmodal_eval import figures

    found = figures(cases, {"task": lambda case: (task_of(case),)})
    return {each.slice["task"]: each for each in found if each.slice and each.control == control}


def majorities(cases: Sequence[CaseResult]) -> dict[str, float]:
    """Return the accuracy of the most frequent answers of each task and language.

    The most frequent answer to each kind of question is taken from the right answers themselves, so
    it is the best possible accuracy without media.
    """
    from mmmodal_eval import normalised

    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for case in cases:
        task, kind = task_of(case), case.tags[-1]
        counts[task][kind][normalised(case.references[0], case.lang)] += 1
    return {
        task: sum(max(each.values()) for each in kinds.values())
        / sum(each.total() for each in kinds.values())
        for task, kinds in counts.items()
    }
