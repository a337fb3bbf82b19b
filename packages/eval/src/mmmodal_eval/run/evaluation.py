"""One evaluation of one model: ask what is not known, score all, compute the figures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from mmmodal.authoring.ranks import everyones, of_first, rank
from mmmodal_datagen.fingerprints import digest
from mmmodal_eval.answers.kept import KeptAnswers
from mmmodal_eval.answers.respondent import Asked, Progress, Reply, Respondent
from mmmodal_eval.cases import Case
from mmmodal_eval.contracts import Scorer
from mmmodal_eval.controls.control import Control
from mmmodal_eval.results import CaseResult, ControlResult, Results
from mmmodal_eval.run.questions import Pass, Questions
from mmmodal_eval.run.scoring import Scored, as_control, as_result, scored
from mmmodal_eval.run.settings import EvaluationSettings
from mmmodal_eval.statistics.figures import figures, gains, outcomes

__all__ = ["Evaluated", "Evaluation"]

Key = tuple[int, int, str]
"""What identifies a case: its conversation, its turn and its scorer."""

PACKAGES = ("mmmodal-core", "mmmodal-eval")


@dataclass(frozen=True)
class Evaluated:
    """The results of one model, the lines of its cases, and what they took."""

    results: Results
    cases: tuple[CaseResult, ...]
    seconds: float
    asked: int
    """The number of conversations that were asked; the answers to others were kept."""


@dataclass(frozen=True)
class Evaluation:
    """How models are evaluated on the same questions."""

    questions: Questions
    settings: EvaluationSettings
    kept: KeptAnswers

    def run(
        self, name: str, model: Mapping[str, Any], respondent: Respondent, progress: Progress
    ) -> Evaluated | None:
        """Return the results of one model; None on all ranks but the first.

        Args:
            name: the name of the model in tables.
            model: the model's source and identity.
            respondent: the model.
            progress: a function that is called with the number of conversations answered.

        Raises:
            MMModalError: the model cannot be asked; what it answered is kept.
        """
        began = time.monotonic()
        identity = digest({key: value for key, value in model.items() if key != "source"})
        asking = _Asking(self.kept, respondent, identity, self.settings, progress)
        passes = self.questions.passes(ranks_choices=respondent.ranks_choices)
        replies = {control: asking.replies(each) for control, each in passes.items()}
        if rank() != 0:
            return None
        cases = self._cases(passes, replies)
        results = self._results(name, model, cases)
        return Evaluated(results, cases, time.monotonic() - began, asking.asked)

    def _cases(
        self, passes: Mapping[str | None, Pass], replies: Mapping[str | None, list[list[Reply]]]
    ) -> tuple[CaseResult, ...]:
        under = {
            control: dict(_scored(each, replies[control], self.questions.scorers))
            for control, each in passes.items()
        }
        own = under.pop(None)
        return tuple(
            as_result(found, self._digest(found.case, asked), _controls(under, key))
            for (key, found), asked in zip(own.items(), _asked(passes[None]), strict=True)
        )

    def _digest(self, case: Case, asked: Asked) -> str:
        """Return the digest of a question: messages up to it, media, and what is expected."""
        messages = self.kept.messages(asked, case.turn)
        expected = case.expected
        right = [expected.references, expected.choices, expected.language]
        return digest([messages, right, case.scorer, dict(case.options)])

    def _results(
        self, name: str, model: Mapping[str, Any], cases: tuple[CaseResult, ...]
    ) -> Results:
        asked = self.questions
        return Results(
            name=name,
            model=dict(model),
            data={
                "path": asked.label,
                "digest": digest([case.digest for case in cases]),
                "conversations": len(asked.conversations),
                "cases": len(cases),
                "skipped": asked.skipped,
                "not_changed": {name: _refusals(each) for name, each in asked.controls.items()},
            },
            settings=self.settings.model_dump(mode="json"),
            figures=tuple(figures(cases)),
            gains=tuple(gains(cases)),
            outcomes=outcomes(cases),
            signatures=_signatures(asked.scorers),
            versions={package: version(package) for package in PACKAGES},
        )


class _Asking:
    """Ask one model what is not known of it."""

    def __init__(
        self,
        kept: KeptAnswers,
        respondent: Respondent,
        identity: str,
        settings: EvaluationSettings,
        progress: Progress,
    ) -> None:
        self._kept, self._respondent, self._identity = kept, respondent, identity
        self._history, self._progress = settings.history, progress
        self.asked = 0

    def replies(self, questions: Pass) -> list[list[Reply]]:
        """Return the replies to all conversations, on every rank."""
        asked = questions.asked
        requests = [self._kept.request(each, self._identity, self._history) for each in asked]
        found = {place: self._kept.find(request) for place, request in enumerate(requests)}
        known = of_first({place: each for place, each in found.items() if each is not None})
        self._progress(len(known))
        self.asked += len(asked) - len(known)
        new: dict[int, list[Reply]] = {}
        if len(known) < len(asked):
            for answered in self._respondent.answers(asked, known, self._progress):
                self._kept.keep(answered, requests)
                new |= dict(answered)
        for each in everyones(new):
            known |= each
        return [known[place] for place in range(len(asked))]


def _scored(
    questions: Pass, replies: Sequence[list[Reply]], scorers: Mapping[str, Scorer]
) -> Iterator[tuple[Key, Scored]]:
    """Yield what each case came to."""
    pairs = [
        (case, said[case.turn])
        for cases, said in zip(questions.cases, replies, strict=True)
        for case in cases
    ]
    for found in scored([case for case, _ in pairs], [reply for _, reply in pairs], scorers):
        yield (id(found.case.conversation), found.case.turn, found.case.scored_by), found


def _asked(questions: Pass) -> Iterator[Asked]:
    """Yield the conversation of each case."""
    for asked, cases in zip(questions.asked, questions.cases, strict=True):
        yield from [asked] * len(cases)


def _controls(
    under: Mapping[str | None, Mapping[Key, Scored]], key: Key
) -> dict[str, ControlResult]:
    return {
        control: as_control(found[key])
        for control, found in under.items()
        if control is not None and key in found
    }


def _signatures(scorers: Mapping[str, Scorer]) -> dict[str, str]:
    """Return the signature of each scorer; the name of one with options tells these."""
    return {key: each.signature() for key, each in scorers.items()}


def _refusals(control: Control) -> dict[str, int]:
    """Return why conversations are not under a control, with the number of each reason."""
    return dict(Counter(control.refused.values()))
