"""Checks of a translation by its lines, numbers and length."""

from __future__ import annotations

import re
from collections import Counter

from mmmodal_datagen.rows import Piece
from mmmodal_datagen.texts.scripts import length_of

__all__ = ["relative_length", "translation_problem"]

NUMBERS = re.compile(r"\d+(?:[.,٫٬]\d+)*")
SEPARATORS = str.maketrans("٫٬", ".,")
"""Those of Arabic numbers, as in Jawi."""

SHORT = 40
"""Shorter texts are not compared by length."""


def translation_problem(piece: Piece, shortest: float, longest: float) -> str:
    """Return why the Malay of a text cannot be its translation, or "".

    Args:
        piece: with both texts.
        shortest: the least length of the Malay, relative to the text.
        longest: the greatest.
    """
    text, malay = piece.text or "", piece.text_ms or ""
    if not malay.strip() or malay.strip() == "None":
        return "there is none"
    if text.count("\n") != malay.count("\n"):
        return "it has other lines"
    if _numbers(text) != _numbers(malay):
        return "it has other numbers"
    if not shortest <= (ratio := relative_length(text, malay)) <= longest:
        return f"its length is {ratio:.2f} of the text's"
    return ""


def relative_length(text: str, translated: str) -> float:
    """Return the length of a translation, relative to the text; 1 where that is short.

    Both are measured in Latin letters that say as much.
    """
    length = length_of(text)
    return length_of(translated) / length if length >= SHORT else 1.0


def _numbers(text: str) -> Counter[str]:
    """Return the numbers of a text, in the digits from 0 to 9."""
    found = (number.translate(SEPARATORS) for number in NUMBERS.findall(text))
    return Counter("".join(str(int(c)) if c.isdecimal() else c for c in each) for each in found)
