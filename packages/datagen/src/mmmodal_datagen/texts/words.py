"""Words of texts, also where no spaces separate them: there, runs of characters stand for words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import regex

from mmmodal_datagen.texts.scripts import GRAPHEMES, UNSPACED, has_unspaced, script_of

__all__ = ["Run", "contains_word", "count_words", "longest_word", "runs_of", "terms_of"]

PIECES = regex.compile(
    rf"(?P<character>(?={UNSPACED.pattern})\X)|(?:(?!{UNSPACED.pattern})[\w'’-])+"
)
"""In a chunk without spaces: a character of such a script, or what else stands between them."""

TERM = regex.compile(r"[^\W_]+")
SHORTEST_TERM = 3
NEARLY = 1e-9
"""For sums of fractions of words."""


class _Token(NamedTuple):
    text: str
    words: float
    """How much of a word it is."""

    spaced: bool


class Run(NamedTuple):
    """A run of words."""

    text: str
    step: float
    """Words from its beginning to that of the next run: a part of one without spaces."""


def count_words(text: str) -> int:
    """Return the number of words; where no spaces separate them, about as many as there are."""
    tokens = _tokens(text)
    return max(1, round(sum(token.words for token in tokens))) if tokens else 0


def runs_of(text: str, words: int) -> list[Run]:
    """Return all runs of so many words, from each word on, or from each character on.

    Args:
        text: of any script.
        words: of a run; without spaces, the fewest characters that are as many.
    """
    if has_unspaced(text):
        return list(_runs(_tokens(text), words))
    chunks = text.split()
    starts = range(len(chunks) - words + 1)
    return [Run(" ".join(chunks[start : start + words]), 1.0) for start in starts]


def longest_word(text: str) -> str:
    """Return the longest word; without spaces, the longest stretch of one repeated character."""
    stretches = (token for _, same in groupby(_tokens(text)) for token in _joined(list(same)))
    return max(stretches, key=lambda word: len(GRAPHEMES.findall(word)), default="")


def terms_of(text: str) -> set[str]:
    """Return the words of three letters and more, and without spaces the runs of one word."""
    folded = text.casefold()
    terms = {run.text for run in runs_of(folded, 1)} if has_unspaced(folded) else {folded}
    found = (word for term in terms for word in TERM.findall(term))
    return {word for word in found if len(word) >= SHORTEST_TERM or has_unspaced(word)}


def contains_word(text: str, word: str) -> bool:
    """Return whether a text contains a word, in any case; without spaces, anywhere."""
    first = "" if has_unspaced(word[:1]) else r"\b"
    last = "" if has_unspaced(word[-1:]) else r"\b"
    return regex.search(rf"(?i){first}{regex.escape(word)}{last}", text) is not None


def _tokens(text: str) -> list[_Token]:
    if not has_unspaced(text):
        return [_Token(chunk, 1.0, True) for chunk in text.split()]
    return [token for chunk in text.split() for token in _pieces(chunk)]


def _pieces(chunk: str) -> Iterator[_Token]:
    if not has_unspaced(chunk):
        yield _Token(chunk, 1.0, True)
        return
    for found in PIECES.finditer(chunk):
        if (character := found["character"]) is None:
            yield _Token(found[0], 1.0, True)
        else:
            yield _Token(character, 1.0 / (script_of(character[0]).per_word or 1.0), False)


def _runs(tokens: list[_Token], words: int) -> Iterator[Run]:
    end, whole = 0, 0.0
    for begin, token in enumerate(tokens):
        while end < len(tokens) and whole < words - NEARLY:
            whole += tokens[end].words
            end += 1
        if whole < words - NEARLY:
            return
        yield Run(_text(tokens[begin:end]), token.words)
        whole -= token.words


def _text(tokens: list[_Token]) -> str:
    """Return tokens with spaces around those that have some."""
    parts = (f" {token.text} " if token.spaced else token.text for token in tokens)
    return " ".join("".join(parts).split())


def _joined(same: list[_Token]) -> list[str]:
    return [same[0].text] if same[0].spaced else ["".join(token.text for token in same)]
