"""What the user asks in records of rows that hold an answer, but no question."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

from mmmodal.config import Config

__all__ = ["DRAWN", "QuestionOptions", "drawn", "in_language", "with_choices"]

DRAWN = "wording"
"""The key of `meta` for the index of the wording that was drawn, if there are several."""

CHOOSE = {"en": "Answer with the letter of your choice.", "ms": "Jawab dengan huruf pilihan anda."}
"""What asks for a letter, by language."""

CHOICE = "choice"
"""The name of the scorer of answers that choose."""

LETTERS = string.ascii_uppercase


class QuestionOptions(Config):
    """What rows without a question are asked."""

    question: str | tuple[str, ...] = ()
    """The question, or several wordings, of which each row gets one; by default there is one for
    each modality and language."""

    lang: str | None = None
    """The language of rows that do not say theirs."""

    seed: int = 0
    """Decides, with the id of a row, which of the wordings it gets."""


def drawn(given: str | Sequence[str], seed: int, id: str) -> tuple[str, dict[str, Any]]:
    """Return the wording that a row gets, and what `meta` says of it.

    Args:
        given: one wording, or several.
        seed: of the draw.
        id: the id of the row.
    """
    wordings = [given] if isinstance(given, str) else list(given)
    if len(wordings) == 1:
        return wordings[0], {}
    digest = hashlib.sha256(f"{seed}:{id}".encode("utf-8", "surrogatepass")).digest()
    index = int.from_bytes(digest[:8]) % len(wordings)
    return wordings[index], {DRAWN: index}


def in_language(texts: Mapping[str, str], lang: str | None) -> str:
    """Return the text of a language such as `ms` or `ms-MY`; the English one of any other."""
    return texts.get((lang or "").replace("_", "-").partition("-")[0].lower(), texts["en"])


def with_choices(
    question: str, choices: Sequence[Any], answer: Any, lang: str | None
) -> tuple[str, str, dict[str, Any]]:
    """Return a question with its choices, each on a line with a letter, and the letter to answer.

    The third value is how the answer is scored: `expect` of its message.

    Args:
        question: the question.
        choices: what there is to choose from.
        answer: the index of the right one, from 0, its letter, or the choice itself.
        lang: the language of the question.

    Raises:
        ValueError: the choices are not texts or numbers, or the answer is none of them.
    """
    shown = [str(choice) for choice in choices if isinstance(choice, str | int | float)]
    if len(shown) != len(choices) or not 2 <= len(shown) <= len(LETTERS):
        raise ValueError(f"choices must be 2 to {len(LETTERS)} texts")
    index = _index(shown, answer)
    letter = LETTERS[index]
    lines = [f"{each}. {choice}" for each, choice in zip(LETTERS, shown, strict=False)]
    # The letter of a choice may also be the text of another one.
    right = shown[index] if shown.count(shown[index]) == 1 else letter
    expect = {"scorer": CHOICE, "choices": tuple(shown), "references": (right,)}
    return "\n".join([question, *lines, in_language(CHOOSE, lang)]), letter, expect


def _index(choices: Sequence[str], answer: Any) -> int:
    """Return the index of the choice that an answer names."""
    if isinstance(answer, str):
        said = answer.strip()
        if choices.count(said) == 1:
            return choices.index(said)
        letter = said.strip("().").upper()
        if len(letter) == 1 and letter in LETTERS[: len(choices)]:
            return LETTERS.index(letter)
        answer = int(said) if said.isdecimal() else -1
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise ValueError(f"the answer {answer!r:.60} is none of the {len(choices)} choices")
    return answer
