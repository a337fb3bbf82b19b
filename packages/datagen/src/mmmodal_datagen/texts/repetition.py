"""Measures of how much a text repeats itself, the same for all scripts."""

from __future__ import annotations

import zlib
from collections import Counter

from mmmodal_datagen.texts.scripts import has_unspaced
from mmmodal_datagen.texts.words import NEARLY, runs_of

__all__ = ["byte_ratio", "compression_ratio", "repeated_trigrams", "share_of_different_words"]

FIRST_CODE = 128
"""The first byte that is no ASCII character."""


def compression_ratio(text: str) -> float:
    """Return the length of a text over its length under zlib: about 1.5 for prose, 8 for a loop.

    Characters other than ASCII take one byte each, or two in texts of many different ones. In UTF-8
    the characters of most scripts begin with the same one or two bytes, which compress well: prose
    in Burmese then has 3.1.
    """
    data = _coded(text)
    return len(data) / len(zlib.compress(data)) if data else 0.0


def byte_ratio(text: str) -> float:
    """Return the length of a text in UTF-8 over its length under zlib, as Whisper measures it."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0


def repeated_trigrams(text: str, more_than: int = 3) -> int:
    """Count the runs of three words that occur more than `more_than` times (paper's code, §2).

    Without spaces, runs begin at every character and count as parts of one, and are those of four
    words, as names of places and people take more characters than other words.
    """
    runs = runs_of(text, 4 if has_unspaced(text) else 3)
    counts = Counter(run.text for run in runs)
    steps = {run.text: run.step for run in runs}
    return int(sum(steps[run] for run, count in counts.items() if count > more_than) + NEARLY)


def share_of_different_words(text: str) -> float:
    """Return the share of different words among all words; 1 for a text of no whole word."""
    runs = [run.text for run in runs_of(text.casefold(), 1)]
    return len(set(runs)) / len(runs) if runs else 1.0


def _coded(text: str) -> bytes:
    """Return a text with a code for each character, in the order in which they first occur."""
    if text.isascii():
        return text.encode("ascii")
    others = dict.fromkeys(character for character in text if not character.isascii())
    if len(others) <= FIRST_CODE:
        codes = {each: bytes([FIRST_CODE + code]) for code, each in enumerate(others)}
    else:
        codes = {
            each: bytes([FIRST_CODE + (code >> 8) % FIRST_CODE, code & 0xFF])
            for code, each in enumerate(others)
        }
    return b"".join(codes.get(character) or character.encode("ascii") for character in text)
