"""Answers in OpenAI's form, and what other servers make of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmmodal_datagen.contracts import Completion, Sampling

__all__ = ["parsed", "read_answer"]

TEXTS = (None, "text", "output_text")
"""The types of parts that are a message's text; others are thoughts, refusals or tool calls."""


def parsed(body: Any) -> Any:
    """Return the body of a response; the client parses none without the content type of JSON.

    Raises:
        ValueError: it is a text that is not JSON.
    """
    try:
        return json.loads(body) if isinstance(body, str) else body
    except ValueError:
        raise ValueError(f"the answer is no JSON: {body!r}") from None


def read_answer(
    answer: Any, sampling: Sampling, model: str, left_out: tuple[str, ...] = ()
) -> Completion:
    """Return an answer as a completion; every field of it is checked.

    Args:
        answer: the body of the response.
        sampling: that was asked for.
        model: the name for an answer without one.
        left_out: parameters of the sampling that were not sent.

    Raises:
        ValueError: it is not of OpenAI's form.
    """
    try:
        choice = answer["choices"][0]
        said = choice["message"]["content"] if "message" in choice else choice["text"]
        usage = answer.get("usage")
        counts = usage if isinstance(usage, Mapping) else {}
        whole = _text(said)
    except (AttributeError, KeyError, IndexError, TypeError):
        raise ValueError(f"the answer is not of OpenAI's form: {answer!r}") from None
    text = _before_stop(whole, sampling.stop)
    written = _count(counts.get("completion_tokens"))
    # What follows a stop text is not part of the answer, so a cut in it cuts nothing off.
    reason = "stop" if text != whole else _reason(choice.get("finish_reason"), written, sampling)
    return Completion(
        text=text,
        finish_reason=reason,
        model=answer.get("model") if isinstance(answer.get("model"), str) else model,
        input_tokens=_count(counts.get("prompt_tokens")),
        output_tokens=written,
        left_out=left_out,
    )


def _text(content: Any) -> str:
    """Return the text of a message: a string, or a list of parts of several types."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Mapping):
        is_text = content.get("type") in TEXTS and not content.get("thought")
        value = content.get("text") if is_text else None
        return _text(value.get("value") if isinstance(value, Mapping) else value)
    if isinstance(content, Sequence):
        return "".join(map(_text, content))
    raise TypeError(content)


def _reason(given: Any, written: int | None, sampling: Sampling) -> str:
    if isinstance(given, str) and given:
        return given
    # Without a word for it, an answer as long as allowed counts as cut off.
    return "length" if written is not None and written >= sampling.max_tokens else "unknown"


def _before_stop(text: str, stop: Sequence[str]) -> str:
    """Return an answer up to the first stop text, which some servers include."""
    ends = [text.find(each) for each in stop if each in text]
    return text[: min(ends)] if ends else text


def _count(value: Any) -> int | None:
    """Return a number of tokens, which some servers give as a float or a text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if math.isfinite(number) and number >= 0 else None
