"""Checks of a translation that need no second reader: lines, numbers, length."""

from __future__ import annotations

import re
from collections import Counter

from mmmodal_datagen.rows import Piece

__all__ = ["NUMBERS", "SHORT", "translation_problem"]

NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
SHORT = 40
"""Texts of fewer characters are not compared by length."""


def translation_problem(piece: Piece, shortest: float, longest: float) -> str:
    """Say why a text's Malay is no translation of it, or return "".

    Args:
        piece: with both texts.
        shortest: the least length of the Malay, as a part of the other's.
        longest: the most.
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
