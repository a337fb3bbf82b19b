"""Exchanges between conversations: each place gets what stands at another one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Place", "exchanged"]

REACH = 1000
"""How many places are tried to mend one of a rotation; beyond, what is taken may be taken twice."""


@dataclass(frozen=True)
class Place:
    """Where a medium or a question stands in a data set."""

    conversation: int
    index: int
    """Which medium or which turn of the conversation it is."""

    content: Hashable
    """What is the same for the same medium or question."""

    own: frozenset[Hashable]
    """The contents of its conversation, none of which may come back."""

    groups: tuple[Hashable, ...]
    """What it is like, the closest likeness first: a task, a language, a data set."""


def exchanged(places: Sequence[Place], further: int = 0) -> dict[Place, Place | None]:
    """Return for each place another one that what it gets comes from; None if there is none.

    The places of a group are rotated, by as many as a conversation has, so that each medium is
    used as often as before, and none meets its own conversation. Where contents repeat, two places
    are swapped; where that is not possible, or the group is too small, a place gets a content that
    is used twice: of its own group, or of the next wider one.

    Args:
        places: in the order of the data.
        further: by how many more places they are rotated.
    """
    rings: dict[Hashable, list[Place]] = {}
    for place in places:
        rings.setdefault(place.groups[0], []).append(place)
    found: dict[Place, Place | None] = {}
    for ring in rings.values():
        found |= zip(ring, _rotated(ring, further), strict=True)
    return _filled(places, found)


def _rotated(ring: Sequence[Place], further: int) -> list[Place | None]:
    """Return the ring rotated, with places swapped that would meet their own contents."""
    members: dict[int, int] = {}
    for place in ring:
        members[place.conversation] = members.get(place.conversation, 0) + 1
    shift = (max(members.values()) + further) % len(ring)
    donors = [*ring[shift:], *ring[:shift]]
    met = [i for i, place in enumerate(ring) if donors[i].content in place.own]
    if len({place.content for place in ring}) > 1:
        for i in met:
            _swap(ring, donors, i)
    return [
        None if donor.content in place.own else donor
        for place, donor in zip(ring, donors, strict=True)
    ]


def _swap(ring: Sequence[Place], donors: list[Place], i: int) -> None:
    """Swap what a place would get with what another would, if that suits both."""
    for step in range(1, min(len(ring), REACH)):
        j = (i + step) % len(ring)
        if donors[j].content not in ring[i].own and donors[i].content not in ring[j].own:
            donors[i], donors[j] = donors[j], donors[i]
            return


def _filled(places: Sequence[Place], found: dict[Place, Place | None]) -> dict[Place, Place | None]:
    """Return the exchange with the places that rotation left empty filled from wider groups."""
    pools: dict[tuple[int, Hashable], dict[Hashable, Place]] = {}
    for place in places:
        for level, group in enumerate(place.groups):
            pools.setdefault((level, group), {}).setdefault(place.content, place)
    lists = {key: list(pool.values()) for key, pool in pools.items()}
    taken: dict[int, set[Hashable]] = {place.conversation: set() for place in places}
    for place, donor in found.items():
        taken[place.conversation] |= set() if donor is None else {donor.content}
    for number, place in enumerate(places):
        if found[place] is None:
            wider = (lists[key] for key in enumerate(place.groups))
            donor = next(_suitable(place, number, taken[place.conversation], wider), None)
            found[place] = donor
            taken[place.conversation] |= set() if donor is None else {donor.content}
    return found


def _suitable(
    place: Place, number: int, taken: set[Hashable], pools: Iterator[Sequence[Place]]
) -> Iterator[Place]:
    """Yield places whose contents are neither of the conversation nor taken for it before."""
    for pool in pools:
        for step in range(len(pool)):
            donor = pool[(number + step) % len(pool)]
            if donor.content not in place.own and donor.content not in taken:
                yield donor
