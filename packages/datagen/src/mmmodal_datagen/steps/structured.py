"""Answers that are JSON of one form; what is not is asked for again, never repaired."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from mmmodal.config import Config
from mmmodal_datagen.steps.answers import Ask, ask_until_fit

__all__ = ["ask_for", "speaks_of"]

T = TypeVar("T", bound=Config)

FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)
"""What chat models put around JSON: it is packing, and what is inside is read as it stands."""


async def ask_for(
    form: type[T], ask: Ask, attempts: int, *, check: Callable[[T], str] = lambda value: ""
) -> T:
    """Ask until the answer is JSON of that form, and return it.

    Args:
        form: what the answer has to be.
        ask: makes the call.
        attempts: how often at most.
        check: says what else is wrong with it, or returns "".

    Raises:
        Rejected: no answer was.
    """

    def problem(text: str) -> str:
        try:
            return check(form.model_validate_json(text))
        except ValidationError as error:
            syntax = any(each["type"] == "json_invalid" for each in error.errors())
            return "invalid JSON" if syntax else "JSON of another form"

    text = await ask_until_fit(ask, attempts, read=_unpacked, check=problem)
    return form.model_validate_json(text)


def speaks_of(text: str, words: tuple[str, ...]) -> bool:
    """Tell whether a text has one of these words, whatever their case."""
    return any(re.search(rf"(?i)\b{re.escape(word)}\b", text) for word in words)


def _unpacked(text: str) -> str:
    text = text.strip()
    fenced = FENCE.match(text)
    return fenced[1].strip() if fenced else text
