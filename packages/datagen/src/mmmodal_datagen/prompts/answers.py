"""Ask until an answer is fit to be used: what is cut off, empty or leaks a template is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypeVar

from pydantic import ValidationError

from mmmodal.config import Config
from mmmodal_datagen.contracts import Completion, Rejected
from mmmodal_datagen.texts.markup import TAGS

__all__ = ["Ask", "ask_for", "ask_until_fit", "speaks_of", "unfit"]

T = TypeVar("T", bound=Config)

FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)
"""What chat models put around JSON: it is packing, and what is inside is read as it stands."""


class Ask(Protocol):
    """A call to a model that only lacks the number of the attempt."""

    async def __call__(self, *, attempt: int) -> Completion: ...


def unfit(completion: Completion, text: str) -> str:
    """Say why an answer cannot be used, or return ""."""
    if completion.finish_reason != "stop":
        return f"answer ended by {completion.finish_reason}"
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
    """Ask up to `attempts` times and return the first answer that is fit to be used.

    Every answer is kept in the store under its attempt, so a rejected row costs nothing again.

    Args:
        ask: makes the call.
        attempts: how often at most.
        read: takes what is meant out of the answer.
        check: says what else is wrong with it, or returns "".

    Raises:
        Rejected: none was fit; the reason is the last one's.
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
