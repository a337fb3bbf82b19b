"""Normalisation of texts before they are compared."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

from mmmodal.authoring.parts import Config

__all__ = ["NormalisationOptions", "in_language", "normalised", "words_of"]

ARTICLES = frozenset({"a", "an", "the"})
DOUBLED = re.compile(r"\b(\w{3,}) \1\b")
SHORTENED = re.compile(r"\b([^\W\d_]{3,})2\b")


class NormalisationOptions(Config):
    """How texts are normalised before they are compared.

    Characters are brought to one form (NFKC), letters to lower case; punctuation is deleted, and
    spaces become single ones. In Malay, a doubled word is one word however it is written:
    `kanak-kanak`, `kanak kanak`, `kanak2`.
    """

    case: bool = False
    """Whether upper and lower case differ."""

    punctuation: bool = False
    """Whether punctuation counts: that of Unicode, and ASCII's `$+<=>^`|~`."""

    articles: bool = True
    """Whether the English articles a, an and the count."""

    @property
    def signature(self) -> str:
        """The options as reports show them."""
        values = self.model_dump(include=set(NormalisationOptions.model_fields))
        return ", ".join(f"{name}: {'yes' if value else 'no'}" for name, value in values.items())


DEFAULT = NormalisationOptions()


def normalised(
    text: str, language: str | None = None, options: NormalisationOptions = DEFAULT
) -> str:
    """Return a text in the form in which texts are compared.

    A text of punctuation alone keeps it.

    Args:
        text: the text.
        language: that of the text, such as `en` or `ms-MY`; None: no rule of a language is used.
        options: what counts.
    """
    whole = unicodedata.normalize("NFKC", text)
    if not options.case:
        whole = unicodedata.normalize("NFKC", whole.casefold())
    bare = whole if options.punctuation else "".join(c for c in whole if not _is_quiet(c))
    words = bare.split() or whole.split()
    if not options.articles and in_language(language, "en"):
        words = [word for word in words if word.casefold() not in ARTICLES] or words
    joined = " ".join(words)
    if not options.punctuation and in_language(language, "ms"):
        joined = DOUBLED.sub(r"\1\1", SHORTENED.sub(r"\1\1", joined))
    return joined


def words_of(text: str, language: str | None = None) -> list[str]:
    """Return the words of a text after normalisation; none of a text without letters or digits."""
    words = normalised(text, language).split()
    return [word for word in words if not all(map(_is_quiet, word))]


def in_language(tag: str | None, language: str) -> bool:
    """Return whether a tag such as `ms_MY` or `ms-MY` is of a language, `ms`."""
    return re.split(r"[-_]", tag or "")[0].lower() == language


@lru_cache(maxsize=4096)
def _is_quiet(character: str) -> bool:
    """Return whether a character is deleted."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")
