"""Numbers that tell text from noise: repetition, and the language it is in."""

from __future__ import annotations

import functools
import zlib
from collections import Counter

import py3langid

__all__ = ["compression_ratio", "language_of", "repeated_trigrams"]

LANGUAGES = ("en", "ms")


def compression_ratio(text: str) -> float:
    """Return how much shorter zlib makes a text: about 1.5 for prose, 8 for a loop."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0


def repeated_trigrams(text: str, more_than: int = 3) -> int:
    """Count the runs of three words that occur more than so often (paper's code, §2)."""
    words = text.split()
    counts = Counter(zip(words, words[1:], words[2:], strict=False))
    return sum(count > more_than for count in counts.values())


def language_of(text: str) -> str:
    """Return whether a text is rather English or Malay: `en` or `ms`.

    Told apart are these two alone: on sentences of FLORES-200 that is right more than 99 times in
    100 from five words on. Indonesian counts as Malay.
    """
    _restrict()
    return str(py3langid.classify(text)[0])


@functools.cache
def _restrict() -> None:
    py3langid.set_languages(list(LANGUAGES))
