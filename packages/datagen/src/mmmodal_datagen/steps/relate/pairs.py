"""Pairs of media: with a common fact, with similar descriptions, and random ones."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mmmodal_datagen.steps.relate.similarity import similar_pairs

__all__ = ["Candidate", "How", "Pair", "draw_pairs"]

How = Literal["shared", "similar", "random"]
ORDER: tuple[How, ...] = ("shared", "similar", "random")
"""Pairs that one way does not find are drawn in the next way."""


@dataclass(frozen=True)
class Candidate:
    """A medium that may be in a pair."""

    row: int
    kind: str
    description: str
    shares: tuple[tuple[str, str], ...] = ()
    """Its facts that a pair may share, as (name, value)."""


class Pair(NamedTuple):
    """Two rows, and the way they were drawn."""

    first: int
    second: int
    how: How
    similarity: float | None


def draw_pairs(
    candidates: Sequence[Candidate],
    kinds: tuple[str, str],
    wanted: int,
    shares: Mapping[How, float],
    least: float,
    chance: random.Random,
) -> list[Pair]:
    """Return pairs; every medium is in at most one.

    Args:
        candidates: of any kind.
        kinds: of the first and the second medium of each pair.
        wanted: the maximum number.
        shares: the share of each way of drawing.
        least: the least similarity of similar descriptions.
        chance: equal states give equal pairs.
    """
    free = np.array([each.kind in kinds for each in candidates], bool)
    left = np.array([each.kind == kinds[0] for each in candidates], bool)
    right = np.array([each.kind == kinds[1] for each in candidates], bool)
    found: list[Pair] = []
    due = 0.0
    for how in ORDER:
        due += wanted * shares.get(how, 0.0) / sum(shares.values())
        if (number := round(due) - len(found)) <= 0 or not shares.get(how):
            continue
        sides = (left & free, right & free)
        drawn: Iterable[tuple[int, int, float | None]]
        if how == "shared":
            drawn = _sharing(candidates, *sides, chance)
        elif how == "similar":
            texts = [each.description for each in candidates]
            drawn = similar_pairs(texts, *sides, least, chance)
        else:
            drawn = _any(*sides, chance)
        found += _taken(drawn, how, number, candidates, free)
    return found


def _taken(
    drawn: Iterable[tuple[int, int, float | None]],
    how: How,
    number: int,
    candidates: Sequence[Candidate],
    free: np.ndarray,
) -> list[Pair]:
    """Return up to `number` pairs of free media, and mark these media as used."""
    found: list[Pair] = []
    for first, second, similarity in drawn:
        if len(found) == number:
            break
        if free[first] and free[second]:
            free[first] = free[second] = False
            found.append(Pair(candidates[first].row, candidates[second].row, how, similarity))
    return found


def _sharing(
    candidates: Sequence[Candidate], left: np.ndarray, right: np.ndarray, chance: random.Random
) -> list[tuple[int, int, None]]:
    """Return pairs with a common fact, in random order."""
    sharing: dict[tuple[str, str], list[int]] = {}
    for index in np.flatnonzero(left | right).tolist():
        for fact in candidates[index].shares:
            sharing.setdefault(fact, []).append(index)
    found = []
    for indices in sharing.values():
        found += _paired(indices, left, right, chance)
    chance.shuffle(found)
    return found


def _any(left: np.ndarray, right: np.ndarray, chance: random.Random) -> list[tuple[int, int, None]]:
    return _paired(np.flatnonzero(left | right).tolist(), left, right, chance)


def _paired(
    indices: list[int], left: np.ndarray, right: np.ndarray, chance: random.Random
) -> list[tuple[int, int, None]]:
    """Return random pairs: of two media of one kind, or one of each."""
    mixed = list(indices)
    chance.shuffle(mixed)
    if left[mixed].all() and right[mixed].all():
        return [(a, b, None) for a, b in zip(mixed[::2], mixed[1::2], strict=False)]
    firsts = [index for index in mixed if left[index]]
    seconds = [index for index in mixed if right[index]]
    return [(a, b, None) for a, b in zip(firsts, seconds, strict=False)]
