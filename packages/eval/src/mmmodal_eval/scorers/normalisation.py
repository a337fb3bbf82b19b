"""Normalisation of texts before they are compared."""

from __future__ import annotations

import string

__all__ = ["normalised"]

QUIET = str.maketrans("", "", string.punctuation)


def normalised(text: str, language: str | None = None) -> str:
    """Return a text in lower case, without punctuation, with single spaces."""
    return " ".join(text.casefold().translate(QUIET).split())
