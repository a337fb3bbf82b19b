"""Thoughts of reasoning models, which some servers leave in the text of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

__all__ = ["Spoken", "holds_thoughts", "spoken"]

NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad")
"""Elements that models think in, also with a prefix: `<seed:think>`, `<chain_of_thought>`."""

ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*\s*"""


def _element(name: str) -> tuple[str, str]:
    begin, end = r"(?:<|&lt;)", r"(?:>|&gt;)"
    named = rf"(?:[\w-]+[:_])?{name}"
    return rf"{begin}{named}{ATTRIBUTES}{end}", rf"{begin}/\s*{named}\s*{end}"


PAIRS = (
    *map(_element, NAMES),
    (r"\[THINK\]", r"\[/THINK\]"),  # Mistral's Magistral
    (r"◁think(?:ing)?▷", r"◁/think(?:ing)?▷"),  # Kimi
    # Cohere's, Sky-T1's and their like.
    (
        r"<\|(?:(?:begin|start)_(?:of_)?)?(?:think(?:ing)?|thought|reasoning)\|>",
        r"<\|(?:/|end_(?:of_)?)(?:think(?:ing)?|thought|reasoning)\|>",
    ),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    (r"<\|channel>thought\b", r"<channel\|>"),  # Gemma
    (r"<unused94>(?:thought\b)?", r"<unused95>"),  # MedGemma
)
"""The marks before and after a thought, by family."""

MARKS = re.compile(
    "|".join(
        f"(?P<open_{number}>{before})|(?P<close_{number}>{after})"
        for number, (before, after) in enumerate(PAIRS)
    ),
    re.IGNORECASE,
)
EMPTY = re.compile(
    rf"(?:<|&lt;)(?:[\w-]+[:_])?(?:{'|'.join(NAMES)}){ATTRIBUTES}/\s*(?:>|&gt;)", re.IGNORECASE
)
"""An element without content, such as `<think/>`."""

CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
QUOTES = ("''", '""', "“”", "‘’", "«»", "「」", "『』")
"""A mark in quotes or in a line's code is spoken of; it marks nothing."""

CHANNEL = re.compile(
    r"(?:\A\s*(?=analysis|commentary|final)|(?:<\|start\|>[^<]*)?<\|channel\|>)\s*(\w+)[^<]*"
    r"(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
"""The head of a message in the format of gpt-oss (Harmony), with the name of its channel."""

CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>.*", re.DOTALL)
SPOKEN_CHANNEL = "final"

BEGINNINGS = (
    # gpt-oss where the server leaves out the special tokens; it is followed by a capital letter
    # or by a letter that has none.
    (r"\A\s*analysis(?=[^\W\d_])(?![a-z])", r".*assistantfinal"),
    (r"\A\s*Here(?:'s| is) my thought process:", r".*?Here(?:'s| is) my response:"),  # Granite
)
"""The beginning of an answer that is a thought, and the text at which that ends."""

THOUGHT_FIRST = tuple((re.compile(a), re.compile(a + b, re.DOTALL)) for a, b in BEGINNINGS)

WRAPPERS = re.compile(
    r"\A\s*(?:<(answer|output|response|final|final_answer)>(.*?)(?:</\1>)?"
    r"|<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>)?"
    r"|<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>)?)\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
"""What some models put around the answer that follows a thought."""


class Spoken(NamedTuple):
    """The part of an answer that is no thought."""

    text: str
    unfinished: bool
    """Whether a thought has no end: the answer was cut off."""


def spoken(answer: str) -> Spoken:
    """Return an answer without the thoughts in it; without thoughts, it is unchanged.

    A thought is what stands between two marks, what precedes a closing mark without an opening one
    (the prompt opened it), and what follows an opening mark without a closing one. A mark in
    quotes or in code is text.
    """
    first, unfinished = _after_beginning(_of_channels(answer))
    text, open_ = _outside(first)
    if text == answer and not unfinished:
        return Spoken(answer, open_)
    wrapped = WRAPPERS.match(text)
    inner = next((part for part in wrapped.groups()[1:] if part is not None), "") if wrapped else ""
    return Spoken((inner or text).strip(), unfinished or open_)


def holds_thoughts(text: str) -> bool:
    """Return whether a text has marks of thoughts that are not just spoken of."""
    return spoken(text) != Spoken(text, False)


def _of_channels(text: str) -> str:
    """Return what the messages of the final channel say, where a text has channels."""
    before, *parts = CHANNEL.split(text)
    if not parts:
        return text
    bodies = [
        CHANNEL_END.sub("", body)
        for name, body in zip(parts[::2], parts[1::2], strict=True)
        if name == SPOKEN_CHANNEL
    ]
    # Without a final message, all of it was a thought, which never ended.
    return "\n\n".join(bodies) if bodies else f"{before}<think>"


def _after_beginning(text: str) -> Spoken:
    for begins, whole in THOUGHT_FIRST:
        if begins.match(text):
            found = whole.match(text)
            return Spoken(text[found.end() :], False) if found else Spoken("", True)
    return Spoken(text, False)


def _outside(text: str) -> Spoken:
    """Return the stretches of a text outside of marks, joined."""
    text = EMPTY.sub(lambda found: found[0] if _is_said(found) else "", text)
    kept, begin = "", 0
    inside: list[str] = []
    for kind, family, start, end in _marks(text):
        if kind == "open":
            kept += "" if inside else text[begin:start]
            inside.append(family)
        elif not inside:
            kept, begin = "", end  # the prompt opened it
        elif family in inside:
            # A mark of another family within a thought needs no end.
            del inside[len(inside) - 1 - inside[::-1].index(family) :]
            begin = end
    return Spoken(kept + ("" if inside else text[begin:]), bool(inside))


def _marks(text: str) -> Iterator[tuple[Literal["open", "close"], str, int, int]]:
    for found in MARKS.finditer(text):
        if not _is_said(found):
            kind, _, family = (found.lastgroup or "").partition("_")
            yield "open" if kind == "open" else "close", family, found.start(), found.end()


def _is_said(mark: re.Match[str]) -> bool:
    """Return whether a mark is spoken of: it is quoted or in code."""
    text, (start, end) = mark.string, mark.span()
    around = text[start - 1 : start] + text[end : end + 1]
    if around in QUOTES:
        return True
    return any(code.start() < start and end < code.end() for code in CODE.finditer(text))
