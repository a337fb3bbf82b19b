"""Pack samples by their lengths, so that each pack is nearly full."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice

__all__ = ["WINDOW", "Packer"]

WINDOW = 1024
"""The number of samples that are packed together."""

FULL = 0.98
"""A pack of at least this share is complete; the samples of others wait for the next window."""

PATIENCE = 2
"""The maximum number of windows that a sample waits, so that it is not much delayed."""


Entry = tuple[int, int, int]
"""The position of a sample in the order, its number, and the number of windows it has waited."""


class Packer:
    """Put samples into packs of at most `capacity` tokens, best-fit decreasing over a window.

    The packs depend on the order and lengths of the samples only.
    """

    def __init__(
        self, lengths: Sequence[int] | Mapping[int, int], capacity: int, window: int = WINDOW
    ) -> None:
        self._lengths = lengths
        self._capacity = capacity
        self._window = window

    def packs(self, samples: Iterable[int]) -> Iterator[list[int]]:
        """Yield packs of `samples`, which are read in windows; every sample is in one pack.

        Packs are in the order of their first sample, so that long samples are not first.
        """
        upcoming = iter(enumerate(samples))
        waiting: list[Entry] = []
        while fresh := [(turn, sample, 0) for turn, sample in islice(upcoming, self._window)]:
            waiting = yield from self._emit([*waiting, *fresh], last=len(fresh) < self._window)
        if waiting:
            yield from self._emit(waiting, last=True)

    def _emit(self, pool: list[Entry], last: bool) -> Generator[list[int], None, list[Entry]]:
        """Yield the full packs; return the samples that wait for the next window."""
        ready, waiting = [], []
        for pack in self._fill(pool):
            tokens = sum(self._lengths[sample] for _, sample, _ in pack)
            waited = max(windows for _, _, windows in pack)
            if last or tokens >= FULL * self._capacity or waited >= PATIENCE:
                ready.append(sorted(pack))
            else:
                waiting += [(turn, sample, windows + 1) for turn, sample, windows in pack]
        for pack in sorted(ready):
            yield [sample for _, sample, _ in pack]
        return sorted(waiting)

    def _fill(self, pool: list[Entry]) -> list[list[Entry]]:
        """Return the packs of the longest samples first, or those of mixed order if they are fewer.

        Mixed order can be better if many samples have about the same length.
        """
        longest_first = sorted(pool, key=lambda entry: (-self._lengths[entry[1]], entry))
        return min(self._best_fit(longest_first), self._best_fit(pool), key=len)

    def _best_fit(self, pool: list[Entry]) -> list[list[Entry]]:
        """Return packs, with each sample in the fullest pack that has room for it."""
        packs: list[list[Entry]] = []
        room: list[tuple[int, int]] = []  # (tokens left, number of the pack), sorted
        for entry in pool:
            length = self._lengths[entry[1]]
            place = bisect_left(room, (length, -1))
            if place == len(room):
                packs.append([entry])
                insort(room, (self._capacity - length, len(packs) - 1))
                continue
            left, number = room.pop(place)
            packs[number].append(entry)
            insort(room, (left - length, number))
        return packs
