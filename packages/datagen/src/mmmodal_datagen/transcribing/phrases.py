"""What Whisper writes where nothing is said: the ends of the videos it learned from."""

from __future__ import annotations

import functools
import re

__all__ = ["PHRASES", "only_phrases"]

PHRASES = (
    # The two that the paper's code blanks (malaysian-dataset, speech-to-text-semisupervised).
    "terima kasih",
    "terima kasih kerana menonton",
    # Others that are reported of Malay, Indonesian and English.
    "terima kasih kerana menonton video ini",
    "terima kasih telah menonton",
    "jangan lupa like dan subscribe",
    "jangan lupa like share dan subscribe",
    "jangan lupa subscribe",
    "sampai jumpa di video selanjutnya",
    "sampai jumpa lagi",
    "thank you",
    "thank you for watching",
    "thanks for watching",
    "please subscribe",
    "subtitles by the amara org community",
)
"""In small letters, without punctuation. People say them, too, but not for long."""


def only_phrases(text: str, phrases: tuple[str, ...] = PHRASES) -> bool:
    """Say whether a text is nothing but some of these, however often."""
    return bool(phrases) and _pattern(phrases).fullmatch(_plain(text)) is not None


@functools.cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    one = "|".join(re.escape(_plain(phrase)) for phrase in phrases)
    return re.compile(rf"(?:(?:{one})(?: |$))+")


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]|_", " ", text.casefold()).split())
