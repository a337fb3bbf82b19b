"""`questions`: questions of a language model about a transcript or caption (paper §2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import regex
from pydantic import Field, field_validator

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Piece, Rejected, Row, RowContext, RowGenerator, Sampling, Turn
from mmmodal_datagen.prompts.answers import ask_until_fit
from mmmodal_datagen.prompts.prompt import Style, asking, described
from mmmodal_datagen.texts.scripts import length_of

__all__ = ["Questions", "QuestionsOptions", "paper_questions", "questions_in"]

NUMBERING = regex.compile(
    r"^\W*(?:(?:question|soalan|q|سوءالن|问题|問題|質問|질문|คำถาม|கேள்வி)?\s*[(（]?\d{1,3}\s*"
    # Without a space behind it, a full stop may be that of a decimal number.
    r"(?:[.):\]။।](?=[\s*_]|[^\d\W\p{Latin}])|[、．）：])|[①-⑳]|[-*•–・])[\s*_]*",
    regex.IGNORECASE,
)
"""The number or bullet at the start of a line of a list."""

QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "«": "»"}

MARK = regex.compile(r"[?？؟⁇⁈՞፧]")
UNMARKED = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Hiragana}]")
"""Letters of languages in which a question needs no mark: there, an item of a list is one."""

FEW = 3
"""The paper's code drops lines of at most so many characters before it counts."""


class QuestionsOptions(Config):
    """How questions are asked for, and which of them are kept."""

    prompt: Style = "raw"
    """"raw": Mistral's template, for a completion endpoint. "chat": any endpoint."""

    instruction: str = "{context}\n\ngenerate questions based on context above"
    """The prompt; `{context}` is replaced by the description."""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, top_k=50, max_tokens=4096)
    attempts: int = Field(3, ge=1)
    """How often an answer is asked for until it is complete and contains a question."""

    most: int = Field(5, ge=1)
    """The maximum number of questions about one description."""

    longer_than: int = Field(20, ge=0)
    """A question is longer than this, in Latin letters that say as much."""

    shorter_than: int = Field(1000, ge=1)
    """A question is shorter than this, in the same measure."""

    reading: Literal["lines", "paper"] = "lines"
    """lines: lines with a question mark, without numbering or repetition. paper: the text after the
    first full stop of a line, as in the paper's code."""

    @field_validator("instruction")
    @classmethod
    def _shows_the_context(cls, value: str) -> str:
        if "{context}" not in value:
            raise ValueError("it lacks `{context}`, the place of the description")
        return value


class Questions(RowGenerator):
    """Ask for questions about a row's description; each becomes a row for `dialogue`."""

    name: ClassVar[str] = "questions"
    version: ClassVar[str] = "2"
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
            if length_of(text) < chosen.shorter_than:
                kept.setdefault(_words(text), text)
        return list(kept.values())[: chosen.most]


def questions_in(answer: str, longer_than: int) -> list[str]:
    """Return the questions in an answer, without numbering, quotes and emphasis."""
    found = (_question(line) for line in answer.splitlines())
    return [line for line in found if line and length_of(line) > longer_than]


def _question(line: str) -> str:
    """Return the question that a line is; "" where it is none."""
    text = NUMBERING.sub("", line)
    is_item = text != line
    return _bare(text) if MARK.search(text) or (is_item and UNMARKED.search(text)) else ""


def _words(text: str) -> str:
    return " ".join(regex.findall(r"\w+", text.casefold()))


def _bare(text: str) -> str:
    text = text.strip().strip("*_`").strip()
    if len(text) > 1 and QUOTES.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    return text


def paper_questions(answer: str, most: int, longer_than: int) -> list[str]:
    """Return the questions in an answer by the rules of the paper's code.

    A line without a full stop is dropped, and so is the text before the first full stop. Only the
    first `most` lines are used, including those that are then too short.
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
