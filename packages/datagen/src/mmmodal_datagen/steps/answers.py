"""Ask until an answer is fit to be used: what is cut off, empty or leaks a template is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from mmmodal_datagen.contracts import Completion, Rejected

__all__ = ["TAGS", "ask_until_fit", "unfit"]

TAGS = re.compile(
    r"</?s>|\[/?INST\]|<</?SYS>>|<\|[^|>\n]{1,40}\|>|<(?:start|end)_of_turn>|\[/?(?:SYSTEM|AVAILABLE)_"
)
"""What chat templates mark turns with; in an answer it is a leak."""


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
