"""Draw pairs of media: those that share a fact, those described alike, and any two."""

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
"""What one way cannot find, the next one makes up for."""


@dataclass(frozen=True)
class Candidate:
    """One medium that pairs may be drawn of."""

    row: int
    kind: str
    description: str
    shares: tuple[tuple[str, str], ...] = ()
    """The facts that another one may share, as (name, value)."""


class Pair(NamedTuple):
    """Two rows, and how they were drawn."""

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
    """Draw pairs, every medium at most once.

    Args:
        candidates: of any kind.
        kinds: of the first and the second medium of each pair.
        wanted: how many at most.
        shares: the part that is drawn in each way.
        least: the similarity from which descriptions are alike.
        chance: the same state gives the same pairs.
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
    """Return so many of the pairs whose media are free; they no longer are."""
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
    """Pair off those that share a fact, the facts in any order."""
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
    """Pair off in an order that chance decides: two of one kind, or one of each."""
    mixed = list(indices)
    chance.shuffle(mixed)
    if left[mixed].all() and right[mixed].all():
        return [(a, b, None) for a, b in zip(mixed[::2], mixed[1::2], strict=False)]
    firsts = [index for index in mixed if left[index]]
    seconds = [index for index in mixed if right[index]]
    return [(a, b, None) for a, b in zip(firsts, seconds, strict=False)]
