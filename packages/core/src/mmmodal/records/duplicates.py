"""Media with the same bytes in several records, and in several files: what leaks between splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import MMModalError
from mmmodal.media.limits import Limits
from mmmodal.media.source import find_source

__all__ = ["Duplicates"]

EXAMPLES = 5


@dataclass
class _Seen:
    """The records of one content: their number and the first one, by the index of the file."""

    records: dict[int, int] = field(default_factory=dict)
    first: dict[int, str] = field(default_factory=dict)


class Duplicates:
    """Count media by the SHA-256 of their bytes, in the order in which records are added."""

    def __init__(self, files: Sequence[str], limits: Limits) -> None:
        self._files = files
        self._limits = limits
        self._seen: dict[bytes, _Seen] = {}
        self._known: dict[tuple[Path, str], bytes] = {}
        self.unread = 0
        """The number of media that could not be read."""

    def add(self, file: int, where: str, record: Record, root: Path) -> None:
        """Count the media of one record of a file.

        Args:
            file: the index of the file.
            where: the position of the record.
            record: the record.
            root: the folder of its relative media paths.
        """
        digests = {digest for ref in record.media if (digest := self._digest(ref, root))}
        for digest in digests:
            seen = self._seen.setdefault(digest, _Seen())
            seen.records[file] = seen.records.get(file, 0) + 1
            seen.first.setdefault(file, where)

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON values: contents within a file, and between two files."""
        numbers = range(len(self._files))
        seen = self._seen.values()
        return {
            "distinct": len(self._seen),
            "unread": self.unread,
            "within": {
                self._files[number]: sum(each.records.get(number, 0) > 1 for each in seen)
                for number in numbers
            },
            "between": [self._between(*pair) for pair in combinations(numbers, 2)],
        }

    def _between(self, one: int, other: int) -> dict[str, Any]:
        shared = [each.first for each in self._seen.values() if {one, other} <= each.first.keys()]
        return {
            "files": [self._files[one], self._files[other]],
            "media": len(shared),
            "examples": [[first[one], first[other]] for first in shared[:EXAMPLES]],
        }

    def _digest(self, ref: MediaRef, root: Path) -> bytes:
        """Return the SHA-256 of a medium, or nothing if it cannot be read."""
        key = (root, ref.uri)
        if ref.held is None and key in self._known:
            return self._known[key]
        try:
            source = find_source(ref.address, root=root, limits=self._limits)
            with source.held(self._limits) as opened:
                digest = bytes.fromhex(opened.sha256())
        except MMModalError:
            self.unread += 1
            return b""
        if ref.held is None and len(ref.uri) < 1000:  # data URIs are long, and rarely repeated
            self._known[key] = digest
        return digest
