"""Measures of how much a text repeats itself."""

from __future__ import annotations

import zlib
from collections import Counter

__all__ = ["compression_ratio", "repeated_trigrams"]


def compression_ratio(text: str) -> float:
    """Return the length of a text over its length under zlib: about 1.5 for prose, 8 for a loop."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0


def repeated_trigrams(text: str, more_than: int = 3) -> int:
    """Count the runs of three words that occur more than `more_than` times (paper's code, §2)."""
    words = text.split()
    counts = Counter(zip(words, words[1:], words[2:], strict=False))
    return sum(count > more_than for count in counts.values())
