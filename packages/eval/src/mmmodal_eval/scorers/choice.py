"""Choices: as an answer names them, and by how likely each is."""

from __future__ import annotations

from typing import Literal

from mmmodal.authoring.parts import Config
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.choices import LETTERS, Choices

__all__ = ["Choice", "ChoiceLikelihood", "ChoiceLikelihoodOptions"]


class Choosing(Scorer):
    """A scorer of questions with choices."""

    def check(self, expected: Expected) -> None:
        """Refuse questions without choices, and references that are none of them."""
        if not 2 <= len(expected.choices) <= len(LETTERS):
            raise ValueError(
                f"it has {len(expected.choices)} choices, and {self.name!r} takes 2 to "
                f"{len(LETTERS)}; list them in `expect.choices`"
            )
        choices = Choices(expected.choices, expected.language)
        for reference in expected.references:
            if choices.named(reference) is None:
                raise ValueError(
                    f"the reference {reference!r:.60} is not among the choices; name a choice or "
                    "its letter in `expect.references`"
                )

    def right(self, expected: Expected, choices: Choices) -> set[int | None]:
        """Return the indices of the right choices."""
        return {choices.named(reference) for reference in expected.references}


class Choice(Choosing):
    """1 if the answer names a right choice by its letter or text, else 0.

    An answer that names none, or several, is wrong, and its choice unread.
    """

    name = "choice"
    companions = ("choice-likelihood",)

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer; `read` is the letter."""
        choices = Choices(expected.choices, expected.language)
        index = choices.read(answer)
        if index is None:
            return Score((0.0, 1.0), note="the answer names no choice, or several")
        right = index in self.right(expected, choices)
        return Score((float(right), 1.0), choices.letters[index])

    def signature(self) -> str:
        """Return how answers are read."""
        return "choice, as read from the answer"


class ChoiceLikelihoodOptions(Config):
    """What is compared of each choice."""

    ranked: Literal["auto", "letters", "texts"] = "auto"
    """Whether the letters or the texts of choices are ranked; auto: the letters, if the question
    shows them."""

    per_character: bool = False
    """Whether a choice's log-likelihood is divided by the number of its characters, which favours
    long ones less than they lose by their length."""


class ChoiceLikelihood(Choosing):
    """1 if the most likely choice is a right one, else 0; of equally likely ones the first."""

    name = "choice-likelihood"
    Options = ChoiceLikelihoodOptions
    options: ChoiceLikelihoodOptions
    ranks_choices = True

    def ranked(self, expected: Expected) -> tuple[str, ...]:
        """Return the letters or texts whose likelihood is compared."""
        choices = Choices(expected.choices, expected.language)
        how = self.options.ranked
        lettered = how == "letters" or (how == "auto" and choices.is_lettered(expected.question))
        return tuple(choices.letters) if lettered else choices.texts

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of the likelihoods; the answer is not read."""
        del answer
        if len(expected.likelihoods) != len(expected.choices):
            raise ValueError(
                f"there are {len(expected.likelihoods)} likelihoods of {len(expected.choices)} "
                "choices; an endpoint gives none, so score its answers by 'choice'"
            )
        sizes = [len(text) if self.options.per_character else 1 for text in self.ranked(expected)]
        values = [each / size for each, size in zip(expected.likelihoods, sizes, strict=True)]
        best = max(range(len(values)), key=lambda index: values[index])
        choices = Choices(expected.choices, expected.language)
        right = best in self.right(expected, choices)
        return Score((float(right), 1.0), choices.letters[best])

    def signature(self) -> str:
        """Return what is ranked, and whether it is divided by its length."""
        chosen = self.options
        divided = "yes" if chosen.per_character else "no"
        return f"choice-likelihood, ranked: {chosen.ranked}, per character: {divided}"
