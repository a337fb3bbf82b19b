"""Usable answers of language models: asked for again if cut off, empty, tagged or malformed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypeVar

from pydantic import ValidationError

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Completion, Rejected
from mmmodal_datagen.contracts.endings import Ending
from mmmodal_datagen.texts.markup import TAGS
from mmmodal_datagen.texts.words import contains_word

__all__ = ["Ask", "ask_for", "ask_until_fit", "speaks_of", "unfit"]

T = TypeVar("T", bound=Config)

ENDED: dict[Ending, str] = {
    "cut": "answer ended by length",
    "filtered": "answer ended by a filter",
    "tool": "answer ended by a tool call",
    "broken": "answer broke off",
    "thought": "answer ended within a thought",
}
"""Why an answer with such an ending cannot be used; one with an unknown ending can."""

FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)
"""The fence that chat models put around JSON; it is removed, and the rest is not repaired."""


class Ask(Protocol):
    """A call to a model that lacks only the number of the attempt."""

    async def __call__(self, *, attempt: int) -> Completion: ...


def unfit(completion: Completion, text: str) -> str:
    """Return why an answer cannot be used, or ""."""
    if problem := ENDED.get(completion.ending):
        return problem
    if not text.strip():
        return "empty answer"
    if TAGS.search(text):
        return "template tags in the answer"
    return ""


async def ask_until_fit(
    ask: Ask,
    attempts: int,
    *,
    read: Callable[[str], str] = str.strip,
    check: Callable[[str], str] = lambda text: "",
) -> str:
    """Ask up to `attempts` times, and return the first usable answer.

    The store keeps every answer by its attempt, so a rejected row makes no new calls later.

    Args:
        ask: the call.
        attempts: the maximum number of calls.
        read: returns the usable part of an answer.
        check: returns why an answer cannot be used, or "".

    Raises:
        Rejected: no answer was usable; the reason is that of the last one.
    """
    problem = text = ""
    for attempt in range(attempts):
        completion = await ask(attempt=attempt)
        text = read(completion.text)
        problem = unfit(completion, text) or check(text)
        if not problem:
            return text
    raise Rejected(problem, text[:200])


async def ask_for(
    form: type[T], ask: Ask, attempts: int, *, check: Callable[[T], str] = lambda value: ""
) -> T:
    """Ask until the answer is JSON of a form, and return its value.

    Args:
        form: of the answer.
        ask: the call.
        attempts: the maximum number of calls.
        check: returns why a value cannot be used, or "".

    Raises:
        Rejected: no answer was usable; the reason is that of the last one.
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
    """Return whether a text contains one of these words, in any case."""
    return any(contains_word(text, word) for word in words)


def _unpacked(text: str) -> str:
    text = text.strip()
    fenced = FENCE.match(text)
    return fenced[1].strip() if fenced else text
