"""`questions`: a language model asks about what a transcript or caption says (paper §2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from mmmodal.config import Config
from mmmodal_datagen.contracts import Piece, Rejected, Row, RowContext, RowGenerator, Sampling, Turn
from mmmodal_datagen.prompts.answers import ask_until_fit
from mmmodal_datagen.prompts.prompt import Style, asking, described

__all__ = ["Questions", "QuestionsOptions", "paper_questions", "questions_in"]

NUMBERING = re.compile(
    r"^\W*(?:(?:question|soalan|q)?\s*\(?\d{1,3}\s*[.):\]](?=[\s*_])|[-*•–])[\s*_]*", re.IGNORECASE
)
"""What a line of a list begins with."""

QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}

FEW = 3
"""Characters that the paper's code drops a line for before it counts."""


class QuestionsOptions(Config):
    """How questions are asked for, and which of them are kept."""

    prompt: Style = "raw"
    """"raw" is Mistral's template, for a completion endpoint; "chat" works with any."""

    instruction: str = "{context}\n\ngenerate questions based on context above"
    """What the model is asked; the description stands in the place of `{context}`."""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, top_k=50, max_tokens=4096)
    attempts: int = Field(3, ge=1)
    """How often an answer that is cut off, leaks a template or asks nothing is asked for again."""

    most: int = Field(5, ge=1)
    """Questions of one description at most."""

    longer_than: int = Field(20, ge=0)
    """Characters; a shorter line is no question that stands alone."""

    shorter_than: int = Field(1000, ge=1)
    """Characters; a longer line is no question."""

    reading: Literal["lines", "paper"] = "lines"
    """lines: lines with a question mark, without their numbering, each once. paper: what stands
    after a line's first full stop, as the paper's code takes it."""

    @field_validator("instruction")
    @classmethod
    def _shows_the_context(cls, value: str) -> str:
        if "{context}" not in value:
            raise ValueError("it has no `{context}`, where the description is to stand")
        return value


class Questions(RowGenerator):
    """Ask for questions about a row's description; each becomes a row that `dialogue` answers."""

    name: ClassVar[str] = "questions"
    needs: ClassVar[tuple[str, ...]] = ("language_model",)
    Options: ClassVar[type[Config]] = QuestionsOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"prompt": "raw", "reading": "paper"},
        "chat": {"prompt": "chat"},
    }
    options: QuestionsOptions

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return a row for each question."""
        if row.turns:
            raise Rejected("has turns already", f"{len(row.turns)}")
        prompt = self.options.instruction.replace("{context}", described(row))
        ask = asking(context, self.options.prompt, prompt, self.options.sampling)
        answer = await ask_until_fit(ask, self.options.attempts, check=self._asks_nothing)
        return [
            row.child(turns=(_asked(question),), synthetic=True)
            for question in self._questions(answer)
        ]

    def _asks_nothing(self, answer: str) -> str:
        return "" if self._questions(answer) else "no question in the answer"

    def _questions(self, answer: str) -> list[str]:
        chosen = self.options
        if chosen.reading == "paper":
            found = paper_questions(answer, chosen.most, chosen.longer_than)
        else:
            found = questions_in(answer, chosen.longer_than)
        kept: dict[str, str] = {}
        for text in found:
            if len(text) < chosen.shorter_than:
                kept.setdefault(_words(text), text)
        return list(kept.values())[: chosen.most]


def questions_in(answer: str, longer_than: int) -> list[str]:
    """Return the questions of an answer without numbering, quotes or emphasis around them."""
    lines = (_bare(NUMBERING.sub("", line)) for line in answer.splitlines())
    return [line for line in lines if "?" in line and len(line) > longer_than]


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _bare(text: str) -> str:
    text = text.strip().strip("*_`").strip()
    if len(text) > 1 and QUOTES.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    return text


def paper_questions(answer: str, most: int, longer_than: int) -> list[str]:
    """Return the questions of an answer by the rules of the paper's code.

    A line without a full stop is lost, as is what stands before one within a question; the first
    `most` lines count, also those that are then too short.
    Source: malaysian-dataset, mixtral-audio-instruction.ipynb.
    """
    lines = list(_after_full_stop(answer))[:most]
    return [text for line in lines if len(text := line.strip()) > longer_than]


def _after_full_stop(answer: str) -> Iterator[str]:
    for line in answer.strip().split("\n"):
        text = line.partition(".")[2].strip()
        if "?" in line and len(text) > FEW:
            yield text.removeprefix('"').removesuffix('"')


def _asked(question: str) -> Turn:
    return Turn(role="user", content=(Piece(type="text", text=question),))
