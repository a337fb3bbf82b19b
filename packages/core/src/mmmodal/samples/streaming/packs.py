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


@dataclass(frozen=True)
class Cursor:
    """A position in the packs of a lane; the packs after it are always the same."""

    window: int
    """The number of windows before the current one."""

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
    """The packs of one lane."""

    def __init__(
        self,
        streams: Sequence[Stream[T]],
        weights: Sequence[float],
        measure: Callable[[T], int],
        *,
        window: int,
        capacity: int | None,
        seed: int,
    ) -> None:
        """Mix streams.

        Args:
            streams: the streams of this lane, one of each data set.
            weights: the share of the records that each of them gives, as proportions.
            measure: a function that returns the tokens of a record, or raises a RecordError.
            window: the number of records that are shuffled and packed together.
            capacity: the maximum number of tokens in a pack; None: a pack is one record.
            seed: the seed of the order in each window.
        """
        self._streams = list(streams)
        self._shares = [weight / math.fsum(weights) for weight in weights]
        self._measure, self._window, self._capacity, self._seed = measure, window, capacity, seed

    def begin(self) -> Cursor:
        """Return the position before the first pack."""
        return Cursor(0, 0, tuple(stream.begin() for stream in self._streams))

    def after(self, cursor: Cursor) -> Iterator[Pack[T]]:
        """Yield the packs after a position, without end.

        Raises:
            EOFError: a stream has no records for this lane.
        """
        while True:
            records, positions = self._read(cursor)
            following = Cursor(cursor.window + 1, 0, positions)
            yield from self._packs(records, cursor, following)
            cursor = following

    def _read(self, cursor: Cursor) -> tuple[list[T], tuple[Position, ...]]:
        """Return the records of the next window in order, and the positions after it."""
        records: list[T] = []
        positions: list[Position] = []
        counts = self._counts(cursor.window)
        for stream, count, before in zip(self._streams, counts, cursor.positions, strict=True):
            found, after = stream.take(count, before) if count else ([], before)
            records += found
            positions.append(after)
        order = epoch_order(len(records), self._seed, cursor.window)
        return [records[index] for index in order], tuple(positions)

    def _counts(self, window: int) -> list[int]:
        """Return the number of records that a window takes of each stream."""
        # The edges are rounded, not the counts, so that small shares are right in the long run.
        begin, end = window * self._window, (window + 1) * self._window
        return [int(end * share) - int(begin * share) for share in self._shares]

    def _packs(self, records: list[T], cursor: Cursor, following: Cursor) -> Iterator[Pack[T]]:
        """Yield the packs of a window that do not come before `cursor`."""
        bad: list[RecordError] = []
        lengths: dict[int, int] = {}
        waiting: Pack[T] | None = None
        number = 0
        for number, pack in enumerate(self._packed(records, lengths, bad), start=1):
            if waiting is not None:
                yield waiting
                waiting = None
            if number > cursor.packs:
                after = Cursor(cursor.window, number, cursor.positions)
                found = [records[index] for index in pack]
                tokens = [lengths[index] for index in pack if index in lengths]
                waiting = Pack(found, tokens, list(bad), after)
            bad.clear()
        if waiting is not None:
            yield replace(waiting, bad=waiting.bad + bad, after=following)
        elif bad and number == 0:
            yield Pack([], [], bad, following)

    def _packed(
        self, records: list[T], lengths: dict[int, int], bad: list[RecordError]
    ) -> Iterator[list[int]]:
        """Yield the numbers of the records of each pack; measure them as the packer reads them."""
        if self._capacity is None:
            return ([number] for number in range(len(records)))
        usable = self._usable(records, lengths, bad)
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
