"""Endless streams of records of one data set, which go on exactly where they were.

A data set is read in lanes, each with a share of its own, so that no two processes read the same
record. What a lane reads is a function of the seed and the number of lanes alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mmmodal.samples.order import epoch_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["IndexedStream", "Lane", "Position", "ShardStream", "Stream"]

T = TypeVar("T")

Position = tuple[int, ...]
"""A position in a stream: the epoch, and what the kind of stream adds."""


@dataclass(frozen=True)
class Lane:
    """A share of a data set: one of `count`, in an order that `seed` decides."""

    number: int
    count: int
    seed: int

    def share(self, size: int, epoch: int) -> NDArray[np.int64]:
        """Return this lane's part of the numbers below `size`, in the order of an epoch."""
        return epoch_order(size, self.seed, epoch)[self.number :: self.count]


class Stream(Protocol[T]):
    """The records of one data set that one lane reads, epoch after epoch."""

    def begin(self) -> Position:
        """Return the position before the first record."""

    def take(self, number: int, position: Position) -> tuple[list[T], Position]:
        """Return at least `number` records after a position, and the position after them.

        Raises:
            EOFError: there are no records.
        """


class IndexedStream(Generic[T]):
    """The records of an indexed data set, shuffled over the whole of it."""

    def __init__(self, size: int, at: Callable[[int], T], lane: Lane) -> None:
        """Read `size` records, which `at` returns by their number."""
        self._size, self._at, self._lane = size, at, lane
        self._share = functools.lru_cache(maxsize=2)(functools.partial(lane.share, size))

    def begin(self) -> Position:
        """Return the position before the first record: its epoch and its place in the order."""
        return (0, 0)

    def take(self, number: int, position: Position) -> tuple[list[T], Position]:
        """Return `number` records after a position, and the position after them."""
        if self._lane.number >= self._size:
            raise EOFError
        epoch, place = position
        found: list[T] = []
        while len(found) < number:
            order = self._share(epoch)
            chosen = order[place : place + number - len(found)]
            found += [self._at(int(index)) for index in chosen]
            place += len(chosen)
            if place == len(order):
                epoch, place = epoch + 1, 0
        return found, (epoch, place)


class ShardStream(Generic[T]):
    """The records of shards, each read from its beginning to its end."""

    def __init__(
        self, shards: int, rows: Callable[[int, int], Iterator[Sequence[T]]], lane: Lane
    ) -> None:
        """Read shards.

        Args:
            shards: the number of shards.
            rows: a function that yields the records of each row of a shard, by the number of the
                shard and of the first row.
            lane: the share of the shards.
        """
        self._shards, self._rows = shards, rows
        self._share = functools.lru_cache(maxsize=2)(functools.partial(lane.share, shards))
        self._open: tuple[Position, Iterator[Sequence[T]]] | None = None

    def begin(self) -> Position:
        """Return the position before the first record: its epoch, shard in the order, and row."""
        return (0, 0, 0)

    def take(self, number: int, position: Position) -> tuple[list[T], Position]:
        """Return the records of the next rows, at least `number`, and the position after them."""
        found: list[T] = []
        empty = 0
        while len(found) < number:
            before = len(found)
            position, ended = self._read(number, position, found)
            empty += ended and len(found) == before
            if empty > 2 * self._shards:
                raise EOFError
        return found, position

    def _read(self, number: int, position: Position, found: list[T]) -> tuple[Position, bool]:
        """Read on in one shard, up to `number` records or its end.

        Return the position after it, and whether a shard ended there.
        """
        epoch, place, row = position
        order = self._share(epoch)
        if place == len(order):
            return (epoch + 1, 0, 0), False
        rows = self._rows_after(position, int(order[place]))
        for records in rows:
            found += records
            row += 1
            if len(found) >= number:
                after = (epoch, place, row)
                self._open = (after, rows)
                return after, False
        return (epoch, place + 1, 0), True

    def _rows_after(self, position: Position, shard: int) -> Iterator[Sequence[T]]:
        """Return the rows after a position, going on with the shard that is open."""
        opened, self._open = self._open, None
        if opened is not None and opened[0] == position:
            return opened[1]
        return self._rows(shard, position[2])
