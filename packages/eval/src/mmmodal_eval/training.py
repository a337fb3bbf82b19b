"""Score the answers of a model while it trains, by the scorers of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from pydantic import Field

from mmmodal.authoring.parts import Better, Config, Evaluator, HeldOut
from mmmodal_eval.answers.model import reply_of
from mmmodal_eval.cases import Conversation
from mmmodal_eval.run.questions import Questions
from mmmodal_eval.run.scoring import Scored, scored
from mmmodal_eval.run.settings import EvaluationSettings

__all__ = ["Answers", "AnswersOptions"]


class AnswersOptions(EvaluationSettings):
    """How answers during training are scored."""

    controls: bool = False
    batch_size: int = Field(16, gt=0)
    """The number of conversations that are answered together, beside all that training holds."""


class Answers(Evaluator):
    """The figures of scorers, and the numbers of answers that are missing or not whole.

    Those are `failed`, `unscored`, `empty` and `cut_off`; a number of none is left out.
    """

    name = "answers"
    Options: ClassVar[type[Config]] = AnswersOptions

    def begin(self, held_out: Sequence[HeldOut]) -> dict[str, Better]:
        """Take the records; return the names of the scorers of their answers.

        Raises:
            ConfigError: some answers cannot be scored; it lists them.
        """
        conversations = [Conversation(each.record, each.root, each.where) for each in held_out]
        self._questions = Questions.of("held-out", conversations, self.options)
        self._scorers = {each.name: each for each in self._questions.scorers.values()}
        return {name: each.better for name, each in self._scorers.items()}

    def tally(
        self, model: Any, *, max_new_tokens: int, progress: Callable[[int], Any]
    ) -> dict[str, list[float]]:
        """Ask this rank's share; return the counts of scorers, and of answers not whole."""
        from mmmodal.authoring.training import Dialogue, answer_dialogues

        asked, options = self._questions.passes(ranks_choices=True)[None], self.options
        answered = answer_dialogues(
            model,
            [Dialogue(a.record, a.root, options.history, a.choices) for a in asked.asked],
            batch_size=options.batch_size,
            on_error="keep",
            progress=progress,
            max_new_tokens=max_new_tokens,
        )
        pairs = [
            (case, reply_of(turns[case.turn]))
            for index, turns in answered
            for case in asked.cases[index]
        ]
        cases, replies = [case for case, _ in pairs], [reply for _, reply in pairs]
        return _summed(scored(cases, replies, self._questions.scorers))

    def figure(self, metric: str, totals: Sequence[float]) -> float:
        """Return the figure of a scorer, or the number of answers of another outcome."""
        found = self._scorers.get(metric)
        return totals[0] if found is None else found.figure(totals)


def _summed(results: Iterable[Scored]) -> dict[str, list[float]]:
    """Return the sums of the counts of each scorer, and the number of each outcome but whole."""
    counts: dict[str, list[Sequence[float]]] = {}
    outcomes: dict[tuple[int, int], str] = {}  # of an answer, which several scorers may score
    for result in results:
        outcomes.setdefault((id(result.case.conversation), result.case.turn), result.outcome)
        if result.score is not None:
            counts.setdefault(result.case.scorer, []).append(result.score.counts)
    for outcome in outcomes.values():
        if outcome != "scored":
            counts.setdefault(outcome.replace(" ", "_"), []).append([1.0])
    return {
        name: [math.fsum(column) for column in zip(*rows, strict=True)]
        for name, rows in counts.items()
    }
