"""The answer of a model about two media: their relation, and a text in one or two languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Piece
from mmmodal_datagen.prompts.answers import Ask, ask_for, ask_until_fit, speaks_of
from mmmodal_datagen.rows import Relation
from mmmodal_datagen.texts.ordinals import spoken_ordinals

__all__ = ["Judgement", "Related", "RelatedInBoth", "Wanted", "plain_answer", "structured_answer"]


# The schemas of the next two classes, with names and docstrings, are part of recorded requests.
class Related(Config):
    """How two media are related."""

    relation: Relation
    answer: str


class RelatedInBoth(Related):
    """The same, with the answer in Malay."""

    answer_ms: str


@dataclass(frozen=True)
class Wanted:
    """The conditions of an answer, and how often it is asked for."""

    attempts: int
    unsaid: tuple[str, ...]
    """Words that an answer may not contain."""

    counts: Mapping[str, int]
    """The number of media of each kind."""

    def problem(self, answer: str) -> str:
        """Return why an answer cannot be used, or ""."""
        if not answer.strip():
            return "empty answer"
        if speaks_of(answer, self.unsaid):
            return "speaks of the description"
        for kind, number in spoken_ordinals(answer):
            if not 1 <= number <= self.counts.get(kind, 0):
                return "speaks of a medium that is not there"
        return ""


@dataclass(frozen=True)
class Judgement:
    """A usable answer."""

    relation: Relation | None
    """None if the model was not asked for a structured answer."""

    piece: Piece
    """The text of the answer."""


async def structured_answer(ask: Ask, form: type[Related], wanted: Wanted) -> Judgement:
    """Ask until the answer is usable JSON of a form, and return it.

    Raises:
        Rejected: no answer was usable.
    """

    def problem(made: Related) -> str:
        return next(filter(None, map(wanted.problem, _texts(made))), "")

    made = await ask_for(form, ask, wanted.attempts, check=problem)
    answer, malay, *_ = (*_texts(made), None)
    return Judgement(made.relation, Piece(type="text", text=answer, text_ms=malay, lang="en"))


async def plain_answer(ask: Ask, wanted: Wanted) -> Judgement:
    """Ask until a plain answer is usable, and return it.

    Raises:
        Rejected: no answer was usable.
    """
    answer = await ask_until_fit(ask, wanted.attempts, check=wanted.problem)
    return Judgement(None, Piece(type="text", text=answer, lang="en"))


def _texts(made: Related) -> list[str]:
    both = [made.answer, made.answer_ms] if isinstance(made, RelatedInBoth) else [made.answer]
    return [text.strip() for text in both]
