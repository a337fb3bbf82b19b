"""Endless streams of records of one data set, which go on exactly where they were.

The parts of a data set, epoch after epoch, are one endless sequence, which lanes read in turn. So
no two processes read the same part of an epoch, every lane always has a next one, however few there
are, and what a lane reads is a function of the seed and the number of lanes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mmmodal.samples.order import epoch_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["IndexedStream", "Lane", "Position", "Sequel", "ShardStream", "Stream"]

T = TypeVar("T")

Position = tuple[int, ...]
"""A position in a stream: the epoch, the place in its order, and what the kind of stream adds."""


class Sequel:
    """The order of a number of parts in each epoch, which all lanes of a data set share."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._seed = seed
        self._order: Callable[[int], NDArray[np.int64]] = lru_cache(maxsize=2)(self._shuffled)

    def part(self, epoch: int, place: int) -> int:
        """Return the number of the part at a place of an epoch."""
        return int(self._order(epoch)[place])

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(self.size, self._seed, epoch)


@dataclass(frozen=True)
class Lane:
    """Every `count`th part of the endless sequence, from that of index `number` on."""

    number: int
    count: int

    def begin(self, size: int) -> tuple[int, int]:
        """Return epoch and place of the first part, if an epoch has `size` of them."""
        return divmod(self.number, size)

    def next(self, size: int, epoch: int, place: int) -> tuple[int, int]:
        """Return epoch and place of the part after another."""
        return divmod(epoch * size + place + self.count, size)


class Stream(Protocol[T]):
    """The records of one data set that one lane reads, epoch after epoch."""

    def begin(self) -> Position:
        """Return the position before the first record."""

    def take(self, number: int, position: Position) -> tuple[list[T], Position]:
        """Return `number` records after a position, and the position after them.

        After the last record of an epoch, that is a position in a later one.

        Raises:
            EOFError: there are no records.
        """


class IndexedStream(Generic[T]):
    """The records of an indexed data set, shuffled over the whole of it."""

    def __init__(self, sequel: Sequel, at: Callable[[int], T], lane: Lane) -> None:
        """Read the records of an order, which `at` returns by their number."""
        self._sequel, self._at, self._lane = sequel, at, lane

    def begin(self) -> Position:
        """Return the position before the first record."""
        return self._lane.begin(self._sequel.size)

    def take(self, number: int, position: Position) -> tuple[list[T], Position]:
        """Return `number` records after a position, and the position after them."""
        found: list[T] = []
        epoch, place = position
        while len(found) < number:
            found.append(self._at(self._sequel.part(epoch, place)))
            epoch, place = self._lane.next(self._sequel.size, epoch, place)
        return found, (epoch, place)


class ShardStream(Generic[T]):
    """The records of shards, each read from its beginning to its end."""

    def __init__(
        self, sequel: Sequel, rows: Callable[[int, int], Iterator[Sequence[T]]], lane: Lane
    ) -> None:
        """Read shards.

        Args:
            sequel: the order of the shards.
            rows: a function that yields the records of each row of a shard, by the number of the
                shard and of the first row.
            lane: the share of the shards.
        """
        self._sequel, self._rows, self._lane = sequel, rows, lane
        self._open: tuple[Position, Iterator[Sequence[T]]] | None = None

    def begin(self) -> Position:
        """Return the position before the first record, with its row and its index in the row."""
        return (*self._lane.begin(self._sequel.size), 0, 0)

    def take(self, number: int, position: Position) -> tuple[list[T], Position]:
        """Return the next `number` records after a position, and the position after them."""
        found: list[T] = []
        empty = 0
        while len(found) < number:
            before = len(found)
            position = self._read(number, position, found)
            empty = 0 if len(found) > before else empty + 1
            if empty and empty % self._sequel.size == 0 and self._is_empty():
                raise EOFError("none of the shards has records any more")
        return found, position

    def _is_empty(self) -> bool:
        every = range(self._sequel.size)
        return not any(records for shard in every for records in self._rows(shard, 0))

    def _read(self, number: int, position: Position, found: list[T]) -> Position:
        """Read on in one shard, up to `number` records or its end; return the position after it."""
        epoch, place, row, index = position
        rows = self._rows_after(position)
        for records in rows:
            taken = records[index : index + number - len(found)]
            found += taken
            index += len(taken)
            if index < len(records):
                return self._stop((epoch, place, row, index), chain([records], rows))
            row, index = row + 1, 0
            if len(found) == number:
                following = list(islice(rows, 1))  # else the shard ends here
                if following:
                    return self._stop((epoch, place, row, 0), chain(following, rows))
        return (*self._lane.next(self._sequel.size, epoch, place), 0, 0)

    def _stop(self, after: Position, rows: Iterator[Sequence[T]]) -> Position:
        self._open = (after, rows)
        return after

    def _rows_after(self, position: Position) -> Iterator[Sequence[T]]:
        """Return the rows from a position on, going on with the shard that is open."""
        opened, self._open = self._open, None
        if opened is not None and opened[0] == position:
            return opened[1]
        epoch, place, row, _ = position
        return self._rows(self._sequel.part(epoch, place), row)
