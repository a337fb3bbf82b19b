"""Pairs of similar descriptions, in time linear in the number of words."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from mmmodal_datagen.texts.words import terms_of

__all__ = ["similar_pairs"]

COMMON = 64
"""A word in more descriptions than this is too common to find pairs."""

WINDOW = 8
"""With how many others of the same word a description is compared."""


def similar_pairs(
    texts: Sequence[str],
    left: np.ndarray,
    right: np.ndarray,
    least: float,
    chance: random.Random,
) -> Iterator[tuple[int, int, float]]:
    """Yield (left, right, similarity) of similar texts; each text is in at most one pair.

    The similarity is the cosine of the words weighted by rarity (TF-IDF). For each word, rarest
    first, a few of the texts with this word are compared. This does not find the most similar
    pairs, but enough pairs in linear time.

    Args:
        texts: all of them.
        left: [texts] which texts may be first.
        right: [texts] which may be second; a text is not paired with itself.
        least: the smallest similarity, up to 1.
        chance: orders words of equal rarity.
    """
    words = _Words(texts)
    free = left | right
    for rows in words.shared(chance):
        others = [row for row in rows if right[row] and free[row]]
        for row in rows:
            if not (left[row] and free[row]):
                continue
            near = [other for other in others if free[other] and other != row][:WINDOW]
            alike, other = max(zip(words.cosines(row, near), near, strict=True), default=(0.0, -1))
            if alike >= least and other >= 0:
                free[row] = free[other] = False
                yield row, other, round(alike, 4)


class _Words:
    """The words of all texts as numbers, concatenated, and the weight of each word."""

    def __init__(self, texts: Sequence[str]) -> None:
        numbers: dict[str, int] = {}
        found = []
        for text in texts:
            words = sorted(terms_of(text))
            own = [numbers.setdefault(word, len(numbers)) for word in words]
            found.append(np.array(own, np.int32))
        lengths = np.array([len(own) for own in found], np.int64)
        self._starts = np.concatenate(([0], np.cumsum(lengths)))
        self._words = np.concatenate(found) if found else np.zeros(0, np.int32)
        self._counts = np.bincount(self._words, minlength=len(numbers))
        self._weights = np.log(max(len(texts), 2) / np.maximum(self._counts, 1)) ** 2
        # A word of all texts has weight 0; a text of such words only has no similar one.
        norms = np.add.reduceat(np.append(self._weights[self._words], 0.0), self._starts[:-1])
        norms[np.diff(self._starts) == 0] = 0.0
        self._norms = np.sqrt(norms)

    def shared(self, chance: random.Random) -> Iterator[list[int]]:
        """Yield the texts with a word, for every word in several but not too many texts."""
        order = np.argsort(self._words, kind="stable")
        text_of = np.repeat(np.arange(len(self._norms)), np.diff(self._starts))
        begins = np.concatenate(([0], np.cumsum(self._counts)))
        chosen = np.flatnonzero((self._counts > 1) & (self._counts <= COMMON)).tolist()
        chance.shuffle(chosen)
        chosen.sort(key=self._counts.__getitem__)
        for word in chosen:
            yield text_of[order[begins[word] : begins[word + 1]]].tolist()

    def cosines(self, row: int, others: Sequence[int]) -> list[float]:
        """Return the similarities of a text to the others."""
        own = set(self._of(row))
        found = []
        for other in others:
            same = [word for word in self._of(other) if word in own]
            norm = self._norms[row] * self._norms[other]
            found.append(float(self._weights[same].sum() / norm) if norm else 0.0)
        return found

    def _of(self, row: int) -> list[int]:
        words: list[int] = self._words[self._starts[row] : self._starts[row + 1]].tolist()
        return words
