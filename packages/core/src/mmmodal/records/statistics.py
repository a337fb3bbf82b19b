"""Statistics of a data file, computed in one pass without keeping its records."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mmmodal.contracts.record import Record

__all__ = ["Statistics"]

UNKNOWN = "unknown"  # the language of a record without one


class Statistics:
    """Statistics of the records that were added."""

    def __init__(self) -> None:
        self.records = 0
        self.languages: Counter[str] = Counter()
        self._turns = _Spread()
        self._media: dict[str, _Spread] = {}
        self._characters: dict[str, _Spread] = {}

    @property
    def turns(self) -> list[int]:
        """The number of turns of each record, in order of size."""
        return self._turns.sizes()

    @property
    def media(self) -> dict[str, list[int]]:
        """The number of media of each kind of each record, in order of size."""
        return {kind: spread.sizes() for kind, spread in self._media.items()}

    @property
    def characters(self) -> dict[str, list[int]]:
        """The number of characters of each turn of each role, in order of size."""
        return {role: spread.sizes() for role, spread in self._characters.items()}

    def add(self, record: Record) -> None:
        """Count one record."""
        self.languages[record.lang or UNKNOWN] += 1
        self._turns.add(len(record.messages))
        kinds = Counter(ref.kind for ref in record.media)
        for kind in kinds.keys() - self._media.keys():
            # Earlier records had no medium of this kind.
            self._media[kind] = _Spread({0: self.records} if self.records else {})
        for kind, spread in self._media.items():
            spread.add(kinds[kind])
        for message in record.messages:
            length = sum(len(part.text or "") for part in message.content)
            self._characters.setdefault(message.role, _Spread()).add(length)
        self.records += 1

    def summary(self) -> dict[str, Any]:
        """Return the statistics as JSON values."""
        return {
            "records": self.records,
            "languages": dict(sorted(self.languages.items())),
            "turns": self._turns.summary(),
            "media": {kind: spread.summary() for kind, spread in sorted(self._media.items())},
            "characters": {
                role: spread.summary() for role, spread in sorted(self._characters.items())
            },
        }


class _Spread:
    """The number of occurrences of each size."""

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self._counts: Counter[int] = Counter(counts or {})

    def add(self, size: int) -> None:
        self._counts[size] += 1

    def sizes(self) -> list[int]:
        return sorted(self._counts.elements())

    def summary(self) -> dict[str, Any]:
        number = self._counts.total()
        if not number:
            return {"total": 0, "min": 0, "median": 0, "mean": 0, "max": 0}
        total = sum(size * count for size, count in self._counts.items())
        return {
            "total": total,
            "min": min(self._counts),
            "median": self._median(number),
            "mean": round(total / number, 2),
            "max": max(self._counts),
        }

    def _median(self, number: int) -> int:
        """Return the median, or the smaller of two."""
        seen = 0
        for size, count in sorted(self._counts.items()):
            seen += count
            if 2 * seen >= number:
                return size
        raise AssertionError(number)
