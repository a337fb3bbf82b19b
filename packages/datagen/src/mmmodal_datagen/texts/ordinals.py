"""Numbers of media in texts: picture 1 of a row may be picture 3 of its session."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["PATTERN", "WORDS", "renumbered", "spoken_ordinals"]

WORDS = {
    "image": ("picture", "image", "photo", "gambar", "imej", "foto"),
    "audio": ("audio", "recording", "clip", "rakaman", "klip"),
}
"""English and Malay words for a numbered medium."""

PATTERN = (
    r"(?i)\b(picture|image|photo|gambar|imej|foto|audio|recording|clip|rakaman|klip) (\d{1,3})\b"
)
ORDINAL = re.compile(PATTERN)
KINDS = {word: kind for kind, words in WORDS.items() for word in words}


def renumbered(text: str, counts: Mapping[str, int], before: Mapping[str, int]) -> str:
    """Return a text with its media renumbered from the start of the session.

    Args:
        text: of a row.
        counts: how many media of each kind the row has; higher numbers are not changed.
        before: how many media of each kind precede the row's.
    """

    def moved(found: re.Match[str]) -> str:
        kind, number = KINDS[found[1].casefold()], int(found[2])
        if not 1 <= number <= counts.get(kind, 0):
            return found[0]
        return f"{found[1]} {number + before.get(kind, 0)}"

    return ORDINAL.sub(moved, text)


def spoken_ordinals(text: str) -> list[tuple[str, int]]:
    """Return the (kind, number) of each medium that a text numbers."""
    return [(KINDS[word.casefold()], int(number)) for word, number in ORDINAL.findall(text)]
