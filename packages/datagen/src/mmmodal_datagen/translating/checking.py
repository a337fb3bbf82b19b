"""Whether a text is a translation of another, as far as that can be told without a person."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mmmodal_datagen.contracts import Piece
from mmmodal_datagen.gating.measures import language_of
from mmmodal_datagen.gating.structure import MARKERS, SHORT, translation_problem
from mmmodal_datagen.steps.answers import TAGS
from mmmodal_datagen.translating.lines import kept_spans, lines_of

__all__ = ["FEW_WORDS", "Checks"]

FEW_WORDS = 5
"""Below it no language is told with certainty, and names stay as they are."""

WORD = re.compile(r"[^\W\d_]{3,}")
"""What tells a language; units and numbers do not."""


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
