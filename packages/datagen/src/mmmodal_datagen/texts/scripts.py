"""Scripts, and the length of texts in them: a Chinese character says more than a Latin letter."""

from __future__ import annotations

import functools
from typing import NamedTuple

import regex

__all__ = ["GRAPHEMES", "Script", "has_unspaced", "length_of", "script_of"]

GRAPHEMES = regex.compile(r"\X")
"""A character as people count them, with its marks (Unicode Standard Annex 29)."""


class Script(NamedTuple):
    """How much the characters of some scripts say."""

    letters: float
    """Latin letters that say as much as one character, both counted with their marks."""

    per_word: float | None = None
    """Characters of a word; None where spaces separate words."""


LATIN = Script(1.0)
SCRIPTS: dict[str, Script] = {
    r"\p{Han}\p{Yi}": Script(3.5, 1.5),
    r"\p{Hiragana}\p{Bopomofo}": Script(2.5, 2.0),
    r"\p{Katakana}ー": Script(2.5, 4.0),
    r"\p{Hangul}": Script(2.6),
    r"\p{Thai}\p{Lao}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}": Script(2.0, 2.6),
    r"\p{Khmer}": Script(2.5, 2.1),
    r"\p{Myanmar}": Script(1.8, 2.7),
    r"\p{Tibetan}\p{Javanese}\p{Balinese}": Script(2.0, 2.7),
    r"\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}"
    r"\p{Malayalam}\p{Sinhala}\p{Sundanese}": Script(1.8),
    r"\p{Arabic}\p{Hebrew}\p{Syriac}": Script(1.35),
    r"\p{Ethiopic}": Script(2.2),
}
"""Scripts whose characters say more than a letter, by the classes of their letters. Measured on one
story of 452 letters in English, told in each of them (`tests/support/prose.py`)."""

CLASSES = tuple(
    (regex.compile(rf"(?=[{names}])[\p{{L}}\p{{M}}\p{{N}}]"), script)
    for names, script in SCRIPTS.items()
)
UNSPACED = regex.compile(
    f"(?=[{''.join(names for names, script in SCRIPTS.items() if script.per_word)}])"
    r"[\p{L}\p{M}\p{N}]"
)


@functools.lru_cache(maxsize=65_536)
def script_of(character: str) -> Script:
    """Return the script of a character; Latin for one that belongs to none of `SCRIPTS`."""
    return next((script for letters, script in CLASSES if letters.match(character)), LATIN)


def has_unspaced(text: str) -> bool:
    """Return whether a text has letters of a script that puts no spaces between words."""
    return not text.isascii() and UNSPACED.search(text) is not None


def length_of(text: str) -> float:
    """Return the length of a text in Latin letters that say as much.

    For a text in Latin letters it is the number of characters, each counted with its marks.
    """
    if text.isascii():
        return len(text)
    return sum(script_of(grapheme[0]).letters for grapheme in GRAPHEMES.findall(text))
