"""Texts as lines: the parts to translate, the parts to keep, and checks of a translation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmmodal_datagen.contracts import Piece
from mmmodal_datagen.texts.language import FEW_WORDS, language_of
from mmmodal_datagen.texts.markup import MARKERS, TAGS
from mmmodal_datagen.texts.translation import SHORT, translation_problem

__all__ = ["Checks", "Line", "kept_spans", "lines_of", "sentences_of"]

BEGINNING = re.compile(r"\s*(?:(?:[-*+•–>|]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+)*")
"""Indentation, and what marks the lines of a list, a heading or a quotation."""

FENCE = re.compile(r"\s*(?:```|~~~)")
LETTER = re.compile(r"[^\W\d_]")
SPANS = re.compile(r"`[^`\n]+`|https?://[^\s)>\]]*[^\s)>\].,;:!?]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
"""Code, addresses of pages and of people: the same in every language."""

WORD = re.compile(r"[^\W\d_]{3,}")
"""Words that show the language; units and numbers do not."""

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


@dataclass(frozen=True)
class Checks:
    """What a translation has to be like."""

    shortest: float
    """Its length, as a part of the text's, where that says something."""

    longest: float
    language: bool
    """Whether it has to be in the language it was asked for in."""

    def problem(self, text: str, translated: str, target: str) -> str:
        """Say why a text is no translation of another into `target`, or return ""."""
        pair = Piece(type="text", text=text, text_ms=translated)
        if found := translation_problem(pair, 0, math.inf):
            return found
        if len(text) >= SHORT and not self.shortest <= len(translated) / len(text) <= self.longest:
            return "it is too short or too long"
        if [line.before for line in lines_of(text)] != [
            line.before for line in lines_of(translated)
        ]:
            return "it has other list markers or code"
        if kept_spans(text) != kept_spans(translated):
            return "it has other code or addresses"
        for pattern in (TAGS, MARKERS):
            if sorted(pattern.findall(text)) != sorted(pattern.findall(translated)):
                return "it has tags that the text has not"
        return self._said(text, translated, target)

    def _said(self, text: str, translated: str, target: str) -> str:
        words = [word for line in lines_of(translated) for word in WORD.findall(line.text)]
        if len(words) < FEW_WORDS:
            return ""
        if translated.strip() == text.strip():
            return "it is the text itself"
        if self.language and language_of(" ".join(words)) != target:
            return f"it is not {target}"
        return ""
