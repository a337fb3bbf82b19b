"""The language of a text: English or Malay."""

from __future__ import annotations

import functools

import py3langid

__all__ = ["FEW_WORDS", "language_of"]

FEW_WORDS = 5
"""With fewer words, the language of a text is uncertain."""

LANGUAGES = ("en", "ms")


def language_of(text: str) -> str:
    """Return the more likely language of a text: `en` or `ms`.

    Only these two are distinguished. On sentences of FLORES-200 with five words or more, more than
    99 in 100 are right. Indonesian counts as Malay.
    """
    _restrict()
    return str(py3langid.classify(text)[0])


@functools.cache
def _restrict() -> None:
    py3langid.set_languages(list(LANGUAGES))
