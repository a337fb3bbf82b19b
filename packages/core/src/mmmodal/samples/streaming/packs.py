"""The endless packs of one lane: records of several streams, shuffled and packed in a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mmmodal.errors import RecordError
from mmmodal.samples.order import epoch_order
from mmmodal.samples.packing import Packer
from mmmodal.samples.streaming.streams import Position, Stream

__all__ = ["Cursor", "LanePacks", "Pack"]

T = TypeVar("T")

MANY = 256
"""The number of bad rows that are passed on without a pack, if no row can be used."""


@dataclass(frozen=True)
class Cursor:
    """A position in the packs of a lane; the packs after it are always the same."""

    turns: int
    """The number of turns of the mixture before the current window; see `LanePacks`."""

    packs: int
    """The number of packs of the current window that come before."""

    positions: tuple[Position, ...]
    """The position of every stream before the current window."""


@dataclass(frozen=True)
class Pack(Generic[T]):
    """The records of one pack."""

    records: list[T]
    lengths: list[int]
    """The number of tokens of each record; empty if samples are not packed."""

    bad: list[RecordError]
    """Rows that cannot be used, found since the pack before."""

    after: Cursor
    """The position after this pack."""


class LanePacks(Generic[T]):
    """The packs of one lane.

    In each turn of the mixture, the streams whose share comes to a whole number give a record. A
    window is a number of turns; it ends before, where each stream that gave it records has come to
    the end of an epoch, so that few records are not repeated in it.
    """

    def __init__(
        self,
        streams: Sequence[Stream[T]],
        weights: Sequence[float],
        measure: Callable[[T], int],
        *,
        window: int,
        capacity: int | None,
        seed: int,
        phase: float = 0.0,
    ) -> None:
        """Mix streams.

        Args:
            streams: the streams of this lane, one of each data set.
            weights: the share of the records that each of them gives, as proportions.
            measure: a function that returns the tokens of a record, or raises a RecordError; such
                a record is left out.
            window: the maximum number of records that are shuffled and packed together.
            capacity: the maximum number of tokens in a pack; None: a pack is one record.
            seed: the seed of the order in each window.
            phase: the part of a record, from 0 to 1, that every stream has to give at first.
        """
        self._streams = list(streams)
        self._shares = [weight / math.fsum(weights) for weight in weights]
        self._measure, self._window, self._capacity, self._seed = measure, window, capacity, seed
        self._phase = phase

    def begin(self) -> Cursor:
        """Return the position before the first pack."""
        return Cursor(0, 0, tuple(stream.begin() for stream in self._streams))

    def first_window(self) -> list[T]:
        """Return the records of the first window."""
        return self._read(self.begin())[0]

    def after(self, cursor: Cursor) -> Iterator[Pack[T]]:
        """Yield the packs after a position, without end.

        Raises:
            EOFError: a stream has no records for this lane.
        """
        bad: list[RecordError] = []
        while True:
            records, following = self._read(cursor)
            yield from self._packs(records, cursor, following, bad)
            cursor = following

    def _read(self, cursor: Cursor) -> tuple[list[T], Cursor]:
        """Return the records of the window at a position in order, and the position after it."""
        records: list[T] = []
        positions = list(cursor.positions)
        given: set[int] = set()
        turns = cursor.turns
        while turns < cursor.turns + self._window and not self._ends(given, cursor, positions):
            for number in self._givers(turns):
                found, positions[number] = self._streams[number].take(1, positions[number])
                records += found
                given.add(number)
            turns += 1
        order = epoch_order(len(records), self._seed, cursor.turns)
        return [records[index] for index in order], Cursor(turns, 0, tuple(positions))

    def _givers(self, turn: int) -> list[int]:
        """Return the numbers of the streams that give a record in a turn."""
        numbers = range(len(self._streams))
        return [n for n in numbers if self._given(n, turn + 1) > self._given(n, turn)]

    def _given(self, number: int, turns: int) -> int:
        """Return the number of records that a stream gives in some turns."""
        return int(turns * self._shares[number] + self._phase)

    def _ends(self, given: set[int], cursor: Cursor, positions: list[Position]) -> bool:
        """Return whether all streams that gave records are in a later epoch than at `cursor`."""
        begun = cursor.positions
        return bool(given) and all(positions[n][0] > begun[n][0] for n in given)

    def _packs(
        self, records: list[T], cursor: Cursor, following: Cursor, bad: list[RecordError]
    ) -> Iterator[Pack[T]]:
        """Yield the packs of a window that do not come before `cursor`, with `bad` rows."""
        lengths: dict[int, int] = {}
        waiting: Pack[T] | None = None
        number = 0
        for number, pack in enumerate(self._packed(records, lengths, bad), start=1):
            if waiting is not None:
                yield waiting
                waiting = None
            if number > cursor.packs:
                after = Cursor(cursor.turns, number, cursor.positions)
                found = [records[index] for index in pack]
                tokens = [] if self._capacity is None else [lengths[index] for index in pack]
                waiting = Pack(found, tokens, list(bad), after)
            bad.clear()
        if waiting is not None:
            yield replace(waiting, bad=waiting.bad + bad, after=following)
            bad.clear()
        elif len(bad) >= MANY:
            yield Pack([], [], list(bad), following)
            bad.clear()

    def _packed(
        self, records: list[T], lengths: dict[int, int], bad: list[RecordError]
    ) -> Iterator[list[int]]:
        """Yield the numbers of the records of each pack; measure them as the packer reads them."""
        usable = self._usable(records, lengths, bad)
        if self._capacity is None:
            return ([number] for number in usable)
        return Packer(lengths, self._capacity).packs(usable)

    def _usable(
        self, records: list[T], lengths: dict[int, int], bad: list[RecordError]
    ) -> Iterator[int]:
        for number, record in enumerate(records):
            try:
                lengths[number] = self._measure(record)
            except RecordError as error:
                bad.append(error)
            else:
                yield number
