"""The draw of sessions: which rows are in which session, in linear time (paper §4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Drawn", "draw"]

SWAPS = 64
"""How many swaps are tried for a row whose medium is in the session already."""


@dataclass(frozen=True)
class Drawn:
    """The rows of all sessions, one session after the other."""

    rows: np.ndarray
    """[drawn] indices of rows."""

    starts: np.ndarray
    """[sessions + 1] the start of each session in `rows`."""

    unused: dict[str, int]
    """The number of unused rows of each pool."""

    dropped: int
    """The number of sessions dropped because no swap removed a repeated medium."""


def draw(
    pools: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    groups: np.ndarray,
    *,
    sessions: int,
    smallest: int = 2,
    largest: int = 4,
    when_empty: Literal["stop", "redistribute"] = "stop",
    seed: Sequence[int] = (0,),
) -> Drawn:
    """Draw sessions as the paper does: first the size, then the pool of each row.

    Every pool is shuffled once and read in order. When a pool is empty, either no further session
    is drawn ("stop", as in the paper, but the last session is not lost), or the other pools take
    its share.

    Args:
        pools: the rows of each kind, by index.
        weights: the probability of each pool; a pool without rows counts as empty.
        groups: [all rows, most] the media of each row as numbers, padded with -1.
        sessions: the maximum number.
        smallest: the least number of rows in a session.
        largest: the greatest number of rows in a session.
        when_empty: what to do when a pool is empty.
        seed: equal seeds give equal sessions.
    """
    chance = np.random.default_rng(list(seed))
    names = sorted(name for name in pools if weights.get(name, 0) > 0)
    orders = [_spread(pools[name], groups, chance) for name in names]
    shares = np.array([weights[name] for name in names])
    sizes = chance.integers(smallest, largest + 1, sessions)  # [sessions]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    places = chance.random(starts[-1])  # [rows of all sessions]
    chosen, made = _choose(places, starts, shares, [len(o) for o in orders], when_empty)
    rows = np.empty(starts[made], np.int64)
    for pool, order in enumerate(orders):
        here = np.flatnonzero(chosen[: starts[made]] == pool)
        rows[here] = order[: len(here)]
    starts, chosen = starts[: made + 1], chosen[: starts[made]]
    kept = _apart(rows, starts, chosen, groups, chance)
    used = {name: int((chosen[kept.mask] == pool).sum()) for pool, name in enumerate(names)}
    unused = {name: len(pools[name]) - used.get(name, 0) for name in sorted(pools)}
    return Drawn(rows[kept.mask], kept.starts, unused, kept.dropped)


def _spread(pool: np.ndarray, groups: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Shuffle a pool so that rows about one medium are far apart.

    The first row of every medium comes first, then every second row, and so on.
    """
    shuffled = chance.permutation(pool)
    first = groups[shuffled, 0] if len(shuffled) else shuffled
    by_group = np.argsort(first, kind="stable")
    ordered = first[by_group]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    lengths = np.diff(np.concatenate((begins, [len(ordered)])))
    rounds = np.empty(len(ordered), np.int64)
    rounds[by_group] = np.arange(len(ordered)) - np.repeat(begins, lengths)
    return shuffled[np.argsort(rounds, kind="stable")]


def _choose(
    places: np.ndarray,
    starts: np.ndarray,
    shares: np.ndarray,
    sizes: list[int],
    when_empty: str,
) -> tuple[np.ndarray, int]:
    """Return the pool of each row, and the number of complete sessions.

    A session is complete when every pool has enough rows for it.
    """
    left = shares.copy()
    left[np.array(sizes) == 0] = 0
    chosen = np.empty(len(places), np.int64)
    begin = 0
    while left.sum() > 0:
        edges = np.cumsum(left) / left.sum()
        last = int(np.flatnonzero(left)[-1])
        rest = np.searchsorted(edges, places[starts[begin] :], side="right")
        chosen[starts[begin] :] = np.minimum(rest, last)
        short = _first_short(chosen, starts, begin, sizes)
        if short is None:
            return chosen, len(starts) - 1
        if when_empty == "stop" and (shares > 0).all():
            return chosen, short[0]
        begin, pool = short
        left[pool] = 0
    return chosen, begin


def _first_short(
    chosen: np.ndarray, starts: np.ndarray, begin: int, sizes: list[int]
) -> tuple[int, int] | None:
    """Return the first session that needs more rows of a pool than there are, and the pool."""
    found: list[tuple[int, int]] = []
    for pool, size in enumerate(sizes):
        asked = np.flatnonzero(chosen == pool)
        if len(asked) > size:
            session = int(np.searchsorted(starts, asked[size], side="right")) - 1
            found.append((max(session, begin), pool))
    return min(found) if found else None


@dataclass(frozen=True)
class _Kept:
    mask: np.ndarray
    starts: np.ndarray
    dropped: int


def _apart(
    rows: np.ndarray,
    starts: np.ndarray,
    chosen: np.ndarray,
    groups: np.ndarray,
    chance: np.random.Generator,
) -> _Kept:
    """Swap rows until no session repeats a medium; drop the sessions where that fails."""
    session_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    dropped = set()
    for session in _repeating(rows, session_of, groups):
        if not _mended(int(session), rows, starts, session_of, chosen, groups, chance):
            dropped.add(int(session))
    whole = ~np.isin(np.arange(len(starts) - 1), sorted(dropped))
    sizes = np.diff(starts)[whole]
    kept = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return _Kept(whole[session_of], kept, len(dropped))


def _repeating(rows: np.ndarray, session_of: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the sessions that repeat a medium."""
    many = groups.shape[1]
    group = groups[rows].ravel()
    session = np.repeat(session_of, many)[group >= 0]
    pairs = session * (groups.max(initial=0) + 1) + group[group >= 0]
    pairs.sort()
    twice = pairs[1:][pairs[1:] == pairs[:-1]]
    return np.unique(twice // (groups.max(initial=0) + 1))


def _mended(
    session: int,
    rows: np.ndarray,
    starts: np.ndarray,
    session_of: np.ndarray,
    chosen: np.ndarray,
    groups: np.ndarray,
    chance: np.random.Generator,
) -> bool:
    """Swap rows that repeat a medium with rows of the same pool; return whether none is left."""
    for _ in range(int(starts[session + 1] - starts[session])):
        place = _repeated(rows, starts, session, groups)
        if place is None:
            return True
        for other in chance.integers(0, len(rows), SWAPS):
            if chosen[other] != chosen[place] or session_of[other] == session:
                continue
            rows[[place, other]] = rows[[other, place]]
            fine = not _holds(rows, starts, session, place, groups)
            if fine and not _holds(rows, starts, int(session_of[other]), int(other), groups):
                break
            rows[[place, other]] = rows[[other, place]]
    return _repeated(rows, starts, session, groups) is None


def _repeated(rows: np.ndarray, starts: np.ndarray, session: int, groups: np.ndarray) -> int | None:
    """Return the place of a row that repeats a medium of its session; None without one."""
    for place in range(int(starts[session]) + 1, int(starts[session + 1])):
        if _holds(rows, starts, session, place, groups):
            return place
    return None


def _holds(
    rows: np.ndarray, starts: np.ndarray, session: int, place: int, groups: np.ndarray
) -> bool:
    """Return whether another row of the session has a medium of the row at `place`."""
    others = np.arange(starts[session], starts[session + 1])
    seen = groups[rows[others[others != place]]].ravel()
    mine = groups[rows[place]]
    return bool(np.isin(mine[mine >= 0], seen).any())
