"""The contract of scorers, which say how right an answer is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mmmodal.authoring.parts import Config

__all__ = ["Expected", "Score", "Scorer"]


@dataclass(frozen=True)
class Expected:
    """What is known of the right answer to one question."""

    references: tuple[str, ...]
    """The right answers, any of which will do; at least one."""

    choices: tuple[str, ...] = ()
    """The answers to choose from, if the question has some."""

    language: str | None = None
    """The language of the conversation: `en`, `ms`."""

    question: str = ""
    """The text of the user's turn."""

    likelihoods: tuple[float, ...] = ()
    """The log-likelihood of each choice as the model's answer, where the scorer `ranks_choices`."""


@dataclass(frozen=True)
class Score:
    """How right one answer is."""

    counts: tuple[float, ...]
    """What is added up over answers: for a mean, the value and 1; for a word error rate, the edits
    and the words of the reference. A scorer's counts always have the same length."""

    read: str | None = None
    """What the scorer read from the answer: the chosen letter, the number, the normalised text."""

    note: str = ""
    """What a person should know of this score."""


class Scorer(ABC):
    """One way to score answers."""

    name: ClassVar[str]
    """The name that users give: `exact`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    unit: ClassVar[Literal["share", "rate", "points"]] = "share"
    """The unit of the figure: a share of right answers, a rate of errors, or points up to 100."""

    better: ClassVar[Literal["higher", "lower"]] = "higher"
    """Which figure is the better one."""

    is_mean: ClassVar[bool] = True
    """Whether the figure is the mean of a value of each answer: counts are the value and 1. The
    interval of a mean is computed, that of another figure is drawn by bootstrap."""

    ranks_choices: ClassVar[bool] = False
    """Whether it needs the likelihood of each choice, which endpoints do not give."""

    companions: ClassVar[tuple[str, ...]] = ()
    """The names of scorers that score the same questions beside it, where the model that is asked
    gives the likelihood of choices."""

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def check(self, expected: Expected) -> None:  # noqa: B027 - most need nothing special
        """Check that a question can be scored, before any is asked.

        Raises:
            ValueError: it cannot, as with references that hold no number; the message says why.
        """

    def ranked(self, expected: Expected) -> tuple[str, ...]:
        """Return the answers whose likelihoods it needs, one of each choice, in their order."""
        return expected.choices

    @abstractmethod
    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer, which may be empty."""

    def score_all(self, answers: Sequence[tuple[str, Expected]]) -> list[Score | Exception]:
        """Return the score of each answer, or the error that left it without one.

        A scorer that asks a model overrides this, to ask many at once.
        """
        return [self._scored(answer, expected) for answer, expected in answers]

    def _scored(self, answer: str, expected: Expected) -> Score | Exception:
        try:
            return self.score(answer, expected)
        except Exception as error:  # of one answer, whose outcome it is
            return error

    def figure(self, totals: Sequence[float]) -> float:
        """Return the figure of counts that were added up; by default the ratio of the first two.

        NaN: there is nothing to divide by, as where no verdict of a judge counts.
        """
        return totals[0] / totals[1] if totals[1] else math.nan

    def notes(self, totals: Sequence[float]) -> list[str]:
        """Return what a reader of the figure should know of the counts, a sentence each."""
        del totals
        return []

    def signature(self) -> str:
        """Return what the figure depends on, for reports: normalisation, versions of libraries."""
        return self.name
