"""Checks of a translation by its lines, numbers and length."""

from __future__ import annotations

import re
from collections import Counter

from mmmodal_datagen.rows import Piece

__all__ = ["NUMBERS", "SHORT", "translation_problem"]

NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
SHORT = 40
"""Texts of fewer characters are not compared by length."""


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
    if Counter(NUMBERS.findall(text)) != Counter(NUMBERS.findall(malay)):
        return "it has other numbers"
    if len(text) >= SHORT and not shortest <= len(malay) / len(text) <= longest:
        return f"its length is {len(malay) / len(text):.2f} of the text's"
    return ""
