"""Questions with the answers of all models, and which of them a page shows."""

from __future__ import annotations

import functools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmmodal_eval.comparing.evaluations import Evaluation
from mmmodal_eval.comparing.pairs import keyed
from mmmodal_eval.contracts import Scorer
from mmmodal_eval.parts import scorer
from mmmodal_eval.results import CaseResult, ControlResult
from mmmodal_eval.statistics.slices import SLICES
from mmmodal_eval.statistics.tables import is_counted

__all__ = [
    "Question",
    "places_of",
    "questions_of",
    "shown_questions",
    "slices_in",
    "verdict_of",
]

SHOWN = 20
"""The number of questions of each kind that a page shows."""

OF_EACH_SLICE = 2
"""The number of the worst questions of each slice, so that a filter leaves some."""

MOST_WORST = 60


@dataclass(frozen=True)
class Question:
    """A question, with the answer of each model that it was asked of."""

    answers: Mapping[str, CaseResult]
    """By the name of the model, at least one."""

    @property
    def case(self) -> CaseResult:
        """What is the same for all models: the question and what is expected."""
        return next(iter(self.answers.values()))

    @property
    def losses(self) -> list[float]:
        """How far each answer with a score is from right."""
        found = (loss_of(case, case) for case in self.answers.values())
        return [loss for loss in found if loss is not None]


def questions_of(evaluations: Sequence[Evaluation]) -> list[Question]:
    """Return the questions of all evaluations; those of several that are the same are one."""
    found: dict[object, dict[str, CaseResult]] = {}
    for evaluation in evaluations:
        for key, case in keyed(evaluation.cases):
            found.setdefault(key, {})[evaluation.results.name] = case
    return [Question(answers) for answers in found.values()]


def value_of(result: CaseResult | ControlResult, case: CaseResult) -> float | None:
    """Return the figure of one answer; None if it is in none.

    Args:
        result: what the answer came to.
        case: the case that it belongs to.
    """
    if result.counts is None or not is_counted(result):
        return None
    try:
        value = _scorer_of(case).figure(result.counts)
    except ZeroDivisionError:
        return None
    return value if math.isfinite(value) else None


def loss_of(result: CaseResult | ControlResult, case: CaseResult) -> float | None:
    """Return how far one answer is from right: 0 is right, 1 as wrong as a share can be."""
    value = value_of(result, case)
    if value is None:
        return None
    found = _scorer_of(case)
    share = value / 100 if found.unit == "points" else value
    return 1 - share if found.better == "higher" else share


def _scorer_of(case: CaseResult) -> Scorer:
    return _scorer(case.scorer, json.dumps(case.options, sort_keys=True))


@functools.lru_cache(maxsize=64)
def _scorer(name: str, options: str) -> Scorer:
    return scorer(name, json.loads(options))


def shown_questions(questions: Sequence[Question]) -> dict[str, list[Question]]:
    """Return the questions that a page shows, by the title of their group, the same each time."""
    chance = random.Random(0)
    drawn = sorted(chance.sample(range(len(questions)), min(SHOWN, len(questions))))
    mixed = chance.sample(questions, len(questions))
    return {
        "Without an answer or a score": [q for q in questions if not q.losses][:SHOWN],
        "Where the models differ most": _differing(mixed),
        "The worst": _worst(mixed),
        "At random": [questions[place] for place in drawn],
    }


def _differing(questions: Sequence[Question]) -> list[Question]:
    apart = [q for q in questions if len(q.losses) > 1 and max(q.losses) > min(q.losses)]
    return sorted(apart, key=lambda q: min(q.losses) - max(q.losses))[:SHOWN]


def _worst(questions: Sequence[Question]) -> list[Question]:
    """Return the questions that lose most, and some that lose most of each slice."""
    wrong = [question for question in questions if question.losses and max(question.losses) > 0]
    ordered = sorted(wrong, key=_mean_gain)
    chosen = {id(question): question for question in ordered[:SHOWN]}
    for members in _slices(ordered).values():
        chosen |= {id(question): question for question in members[:OF_EACH_SLICE]}
    return list(chosen.values())[:MOST_WORST]


def _mean_gain(question: Question) -> float:
    return -sum(question.losses) / len(question.losses)


def _slices(questions: Sequence[Question]) -> dict[tuple[str, str], list[Question]]:
    found: dict[tuple[str, str], list[Question]] = {}
    for question in questions:
        for place in slices_in(question.case):
            found.setdefault(place, []).append(question)
    return found


def slices_in(case: CaseResult) -> Iterator[tuple[str, str]]:
    """Yield the kind and value of each slice that a case is in."""
    for key, values_of in SLICES.items():
        for value in values_of(case):
            yield key, value


def places_of(question: Question) -> list[str]:
    """Return what a filter may ask for: each slice as `lang=ms`, the scorer, and verdicts."""
    found = [f"{key}={value}" for key, value in slices_in(question.case) if key != "outcome"]
    for case in question.answers.values():
        found += [f"outcome={case.outcome}", f"answer={verdict_of(case, case)[0]}"]
    return list(dict.fromkeys([*found, f"scorer={question.case.scorer}"]))


def verdict_of(result: CaseResult | ControlResult, case: CaseResult) -> tuple[str, str]:
    """Return what an answer is, `right`, `wrong`, `partly` or `none`, and that as text."""
    loss, value = loss_of(result, case), value_of(result, case)
    if loss is None or value is None:
        return "none", result.outcome
    if loss <= 0:
        return "right", "right"
    return ("wrong", "wrong") if loss == 1 else ("partly", f"{value:.3g}")
