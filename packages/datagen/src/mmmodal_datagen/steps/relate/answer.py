"""What a model says about two media: how they are related, and an answer in one language or two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmmodal.config import Config
from mmmodal_datagen.contracts import Piece
from mmmodal_datagen.prompts.answers import Ask, ask_for, ask_until_fit, speaks_of
from mmmodal_datagen.rows import Relation
from mmmodal_datagen.texts.ordinals import spoken_ordinals

__all__ = ["Judged", "Related", "RelatedInBoth", "Wanted", "judged", "told"]


class Related(Config):
    """How two media are related."""

    relation: Relation
    answer: str


class RelatedInBoth(Related):
    """The same, with the answer in Malay."""

    answer_ms: str


@dataclass(frozen=True)
class Wanted:
    """What an answer has to be like, and how often it is asked for."""

    attempts: int
    unsaid: tuple[str, ...]
    """Words that tell that it speaks of something else than the media."""

    counts: Mapping[str, int]
    """How many media of each kind there are."""

    def problem(self, answer: str) -> str:
        """Say why an answer cannot be used, or return ""."""
        if not answer.strip():
            return "empty answer"
        if speaks_of(answer, self.unsaid):
            return "speaks of the description"
        for kind, number in spoken_ordinals(answer):
            if not 1 <= number <= self.counts.get(kind, 0):
                return "speaks of a medium that is not there"
        return ""


@dataclass(frozen=True)
class Judged:
    """What was found."""

    relation: Relation | None
    """None where the model was not asked for it by name."""

    piece: Piece
    """The answer."""


async def judged(ask: Ask, form: type[Related], wanted: Wanted) -> Judged:
    """Ask until the answer is JSON of that form that can be used.

    Raises:
        Rejected: no answer was.
    """

    def problem(made: Related) -> str:
        return next(filter(None, map(wanted.problem, _texts(made))), "")

    made = await ask_for(form, ask, wanted.attempts, check=problem)
    answer, malay, *_ = (*_texts(made), None)
    return Judged(made.relation, Piece(type="text", text=answer, text_ms=malay, lang="en"))


async def told(ask: Ask, wanted: Wanted) -> Judged:
    """Ask until a free answer can be used.

    Raises:
        Rejected: no answer was.
    """
    answer = await ask_until_fit(ask, wanted.attempts, check=wanted.problem)
    return Judged(None, Piece(type="text", text=answer, lang="en"))


def _texts(made: Related) -> list[str]:
    both = [made.answer, made.answer_ms] if isinstance(made, RelatedInBoth) else [made.answer]
    return [text.strip() for text in both]
