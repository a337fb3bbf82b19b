"""Slices of questions as groups of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

__all__ = ["KEYS", "by_key", "slice_name"]

MOST = 30
"""The maximum number of slices of one kind that a table shows: those with most cases."""

KEYS = {
    "lang": "Language",
    "modality": "Modality",
    "media": "Number of media",
    "tag": "Tag",
    "turn": "Turn, from 0",
    "outcome": "Outcome",
}
"""The kinds of slices, with their titles."""


class Sliced(Protocol):
    """A figure, a gain or a difference of a slice."""

    @property
    def slice(self) -> dict[str, str]:
        """What its cases have in common."""

    @property
    def cases(self) -> int:
        """The number of its cases."""


SlicedT = TypeVar("SlicedT", bound=Sliced)


def slice_name(common: Mapping[str, str]) -> str:
    """Return what the cases of a slice have in common, as text."""
    return ", ".join(common.values()) or "all questions"


def by_key(found: Iterable[SlicedT]) -> dict[str, list[SlicedT]]:
    """Return what there is of slices by the title of their kind; that of all cases is first.

    A kind with more than `MOST` slices is reduced to those with most cases, and its title says so.
    """
    groups: dict[str, list[SlicedT]] = {}
    for each in found:
        groups.setdefault(next(iter(each.slice), ""), []).append(each)
    return dict(_titled(key, groups[key]) for key in sorted(groups, key=_place))


def _titled(key: str, members: list[SlicedT]) -> tuple[str, list[SlicedT]]:
    title = KEYS.get(key, key)
    sizes: dict[str, int] = {}
    for each in members:
        name = slice_name(each.slice)
        sizes[name] = max(sizes.get(name, 0), each.cases)
    if len(sizes) <= MOST:
        return title, members
    largest = set(sorted(sizes, key=lambda name: -sizes[name])[:MOST])
    kept = [each for each in members if slice_name(each.slice) in largest]
    return f"{title}: the {MOST} with most questions of {len(sizes):,}", kept


def _place(key: str) -> int:
    return ["", *KEYS].index(key) if key in KEYS or not key else len(KEYS) + 1
