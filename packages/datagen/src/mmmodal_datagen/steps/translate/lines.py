"""Texts as lines: the parts to translate, the parts to keep, and checks of a translation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import regex

from mmmodal_datagen.contracts import Piece
from mmmodal_datagen.texts.language import FEW_WORDS, language_of
from mmmodal_datagen.texts.markup import MARKERS, TAGS
from mmmodal_datagen.texts.translation import relative_length, translation_problem

__all__ = ["Checks", "Line", "kept_spans", "lines_of", "sentences_of"]

BEGINNING = re.compile(r"\s*(?:(?:[-*+•–>|]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+)*")
"""Indentation, and the markers of lists, headings and quotations."""

FENCE = re.compile(r"\s*(?:```|~~~)")
LETTER = re.compile(r"[^\W\d_]")
SPANS = re.compile(r"`[^`\n]+`|https?://[^\s)>\]]*[^\s)>\].,;:!?]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
"""Code, web addresses and mail addresses: the same in every language."""

WORD = regex.compile(r"[\p{L}\p{M}]{3,}")
"""Words that show the language; units and numbers do not."""

SENTENCE = re.compile(r"(?<=[.!?؟۔])\s+(?=[^\W_])")


@dataclass(frozen=True)
class Line:
    """One line: `before + text + after`."""

    before: str
    text: str
    """The part to translate; empty for code and the like."""

    after: str = ""


def lines_of(text: str) -> list[Line]:
    """Return the lines of a text; joined by line breaks, they are the text."""
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
    """Return the start of the text in a line that contains a letter."""
    found = BEGINNING.match(line)
    start = found.end() if found else 0
    return start if LETTER.search(line[start:]) else len(line) - len(line.lstrip())


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a line; joined by spaces, they are the line."""
    return SENTENCE.split(text)


def kept_spans(text: str) -> list[str]:
    """Return the code and addresses of a text, sorted; a translation must keep them."""
    return sorted(SPANS.findall(text))


@dataclass(frozen=True)
class Checks:
    """The checks of a translation."""

    shortest: float
    """The least length, relative to the text; short texts are not checked."""

    longest: float
    """The greatest length, relative to the text."""

    language: bool
    """Whether it must be in the target language."""

    def problem(self, text: str, translated: str, target: str) -> str:
        """Return why a text is not a translation of another into `target`, or ""."""
        pair = Piece(type="text", text=text, text_ms=translated)
        if found := translation_problem(pair, 0, float("inf")):
            return found
        if not self.shortest <= relative_length(text, translated) <= self.longest:
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
