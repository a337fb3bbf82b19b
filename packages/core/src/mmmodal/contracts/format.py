"""The contract of formats, in which a row of a data file holds a conversation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmmodal.config import Config
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError

__all__ = ["Format", "Place"]


@dataclass(frozen=True)
class Place:
    """The position of a row in a data file."""

    where: str
    fallback_id: str
    """The id of the record if the row has none."""


class Format(ABC):
    """One format of rows."""

    name: ClassVar[str]
    """The name that users give: `llava`."""

    shape: ClassVar[str]
    """The keys of a row that identify the format, for users."""

    narrows: ClassVar[tuple[str, ...]] = ()
    """Names of formats of which this one is a special case: a row of both is of this one."""

    structured: ClassVar[tuple[str, ...]] = ()
    """The keys whose values are lists or objects; a table may hold them as JSON texts."""

    found: ClassVar[bool] = True
    """Whether rows are found to be of this format; else they are only where a user names it."""

    lists_media: ClassVar[bool] = False
    """Whether `write` lists the media of each modality under its plural, `images`, in the order of
    the messages, and each key has values of one type; a table can hold such rows with media."""

    written: ClassVar[bool] = False
    """Whether records can be written in this format; set for each class that has `write`."""

    Options: ClassVar[type[Config]] = Config
    """The schema of the options. If one of them is required, rows are of this format only where a
    user names it; else those that no user names are read with the defaults."""

    options: Any

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.written = cls.write is not Format.write

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row is of this format, by its keys.

        At most one format matches a row, besides those that it `narrows`.
        """

    @abstractmethod
    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the records of a row: one, or one for each of its languages or answers.

        Raises:
            RecordError: the row is not valid.
        """

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys that `read` turns into records; by default those of `structured`.

        All other keys of a row are kept in `meta`, except those that say what a record should hold:
        a row with media, turns or tools under such a key is refused, and a system prompt becomes
        the system turn.
        """
        return self.structured

    def ignores(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return keys that are kept in `meta` although they name media that `read` does not read.

        Only the format can know this: that a key says, for example, where a medium came from.
        """
        return ()

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of a record, or of several that belong in one row according to `joins`.

        Raises:
            RecordError: the format cannot express it; by default, it is only read.
        """
        reason = f"rows of the format {self.name!r} are read, but not written; name another one"
        raise RecordError(where, reason)

    def joins(self, held: Sequence[Record], record: Record) -> bool:
        """Return whether `record` belongs in the same row as the records `held`."""
        return False
