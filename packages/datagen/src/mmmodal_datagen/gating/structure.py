"""Whether a row is a conversation that can be shown as it is meant."""

from __future__ import annotations

import re
from collections import Counter

from mmmodal_datagen.composing.ordinals import spoken_ordinals
from mmmodal_datagen.contracts import Piece, Row
from mmmodal_datagen.steps.answers import TAGS

__all__ = ["MARKERS", "SHORT", "structure_problem", "translation_problem"]

MARKERS = re.compile(r"</?(?:image|audio|imej|img|gambar)>", re.IGNORECASE)
"""What stands for a medium in other formats, and what machine translation makes of it."""

NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")


def structure_problem(row: Row) -> str:
    """Say why a row is no whole conversation, or return ""."""
    roles = [turn.role for turn in row.turns if turn.role != "system"]
    if roles != ["user", "assistant"] * (len(roles) // 2) or not roles:
        return "turns do not alternate from the user's to the assistant's"
    if any(turn.role == "system" for turn in row.turns[1:]):
        return "a system turn is not the first"
    for turn in row.turns:
        said = [
            piece for piece in turn.content if (piece.text or "").strip() or piece.media is not None
        ]
        if not said:
            return "a turn is empty"
        if turn.role != "user" and any(piece.media is not None for piece in turn.content):
            return "a medium stands outside of the user's turns"
    if {piece.media for piece in row.pieces()} - {None} != set(range(len(row.media))):
        return "a medium is in no turn"
    texts = [text for piece in row.pieces() for text in (piece.text, piece.text_ms) if text]
    if any(TAGS.search(text) or MARKERS.search(text) for text in texts):
        return "a text holds a template tag or marker"
    counts = Counter(medium.kind for medium in row.media)
    for kind, number in (found for text in texts for found in spoken_ordinals(text)):
        if counts[kind] and not 1 <= number <= counts[kind]:
            return f"a text speaks of {kind} {number} of {counts[kind]}"
    return ""


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


SHORT = 40
"""Characters below which lengths say nothing."""
