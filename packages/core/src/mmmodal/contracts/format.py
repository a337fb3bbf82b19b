"""One way to write a conversation as a row of a data file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmmodal.contracts.record import Record

__all__ = ["Format", "Place"]


@dataclass(frozen=True)
class Place:
    """Where a row is."""

    where: str
    fallback_id: str
    """The id of a record whose row has none."""


class Format(ABC):
    """One way to write a conversation as a row; the module's `FORMAT` is an instance."""

    name: ClassVar[str]
    """The word for it on the command line; the module's name."""

    shape: ClassVar[str]
    """The keys by which a user knows it."""

    structured: ClassVar[tuple[str, ...]]
    """Keys whose values are lists or objects; tables may hold them as JSON texts."""

    @abstractmethod
    def matches(self, row: Mapping[str, Any]) -> bool:
        """Tell by its keys whether a row is of this format; no other format says so too."""

    @abstractmethod
    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the records of a row: one for each language.

        Raises:
            RecordError: what is wrong with the row.
        """

    @abstractmethod
    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of a record, or of several that `joins` said belong in one.

        Raises:
            RecordError: the format cannot express it.
        """

    def joins(self, held: Sequence[Record], record: Record) -> bool:
        """Tell whether `record` belongs in the same row as those held."""
        return False
