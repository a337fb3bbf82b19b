"""Texts as lines: what of each is translated, and what is kept as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Line", "kept_spans", "lines_of", "sentences_of"]

BEGINNING = re.compile(r"\s*(?:(?:[-*+•–>|]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+)*")
"""Indentation, and what marks the lines of a list, a heading or a quotation."""

FENCE = re.compile(r"\s*(?:```|~~~)")
LETTER = re.compile(r"[^\W\d_]")
SPANS = re.compile(r"`[^`\n]+`|https?://[^\s)>\]]*[^\s)>\].,;:!?]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
"""Code, addresses of pages and of people: the same in every language."""

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W_])")


@dataclass(frozen=True)
class Line:
    """One line; `before + text + after` is the line as it was."""

    before: str
    text: str
    """What is translated; empty where nothing is, such as in code."""

    after: str = ""


def lines_of(text: str) -> list[Line]:
    """Cut a text into lines. Joined by line breaks, they are the text again."""
    return list(_lines(text))


def _lines(text: str) -> Iterator[Line]:
    fenced = False
    for line in text.split("\n"):
        fence = FENCE.match(line) is not None
        if fence or fenced or not LETTER.search(SPANS.sub("", line)):
            yield Line(line, "")
        else:
            start = _start(line)
            end = len(line.rstrip())
            yield Line(line[:start], line[start:end], line[end:])
        fenced ^= fence


def _start(line: str) -> int:
    """Return where a line's text begins, which has a letter."""
    found = BEGINNING.match(line)
    start = found.end() if found else 0
    return start if LETTER.search(line[start:]) else len(line) - len(line.lstrip())


def sentences_of(text: str) -> list[str]:
    """Cut a line into its sentences; joined by blanks, they are the line again, but for blanks."""
    return SENTENCE.split(text)


def kept_spans(text: str) -> list[str]:
    """Return what no translation may change: code and addresses, in any order."""
    return sorted(SPANS.findall(text))
