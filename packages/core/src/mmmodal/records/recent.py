"""The records that a process has found in a stream and not used yet, up to some memory."""

from __future__ import annotations

import sys
from collections import OrderedDict
from itertools import chain

from mmmodal.contracts.record import Record
from mmmodal.records.reading import RecordPlace

__all__ = ["RecentRecords"]

CAPACITY = 64 * 1024 * 1024
"""The bytes of records that are kept, about those of the windows that a process shuffles."""

OBJECT = 700
"""The bytes of a message, a part, a medium or a record, without its texts; rounded up."""

NESTED = 32
"""The bytes of values in `meta` for each character that shows them; rounded up."""


class RecentRecords:
    """The records found last, with their positions for errors; the oldest are forgotten first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity, self._size = capacity, 0
        # A plain dict takes the longer to find its first key, the more were removed before it.
        self._kept: OrderedDict[RecordPlace, tuple[int, str, Record]] = OrderedDict()

    def add(self, place: RecordPlace, where: str, record: Record) -> None:
        """Keep a record, unless it would keep a data file or the bytes of media in memory."""
        if any(ref.held and (ref.held.cell or ref.held.data) for ref in record.media):
            return
        self._forget(place)
        size = _size(record)
        self._kept[place] = (size, where, record)
        self._size += size
        while self._size > self._capacity:
            self._forget(next(iter(self._kept)))

    def get(self, place: RecordPlace) -> tuple[str, Record] | None:
        """Return the position of a record for errors, and the record; None if it is not kept."""
        kept = self._kept.get(place)
        return None if kept is None else kept[1:]

    def _forget(self, place: RecordPlace) -> None:
        if place in self._kept:
            self._size -= self._kept.pop(place)[0]


def _size(record: Record) -> int:
    """Return about the bytes of a record in memory."""
    parts = [part for message in record.messages for part in message.content]
    objects = 1 + len(record.messages) + len(parts) + len(record.media)
    said = (part.text or "" for part in parts)
    texts = chain((record.id,), said, (ref.uri for ref in record.media))
    about = len(repr(record.meta)) * NESTED if record.meta else 0
    return objects * OBJECT + sum(map(sys.getsizeof, texts)) + about
