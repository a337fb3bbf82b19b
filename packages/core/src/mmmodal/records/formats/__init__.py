"""Other formats of rows become records here, and back. A format is one file of this package."""

from __future__ import annotations

import functools
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from mmmodal.config import suggest, validate
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.json_text import parse_json, printable

__all__ = ["ForeignRow", "Format", "Place", "complete", "find_format", "formats", "read_row"]

MOST_PROBLEMS = 5

M = TypeVar("M", bound=BaseModel)


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


class ForeignRow(BaseModel):
    """What rows of other formats have in common; keys they do not define go to `meta`."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    id: str | None = None
    lang: str | None = None
    group: str | None = None

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    def record(self, place: Place, values: Mapping[str, Any], **changes: Any) -> Record:
        """Build a record of `messages` and `media` with what the row says besides."""
        about = {
            "id": place.fallback_id if self.id is None else self.id,
            "lang": self.lang,
            "group": self.group,
            "meta": self.model_extra or None,
        }
        return validated(Record, about | dict(values) | changes, place.where)


def formats() -> dict[str, Format]:
    """Return the formats by name: those of every module in this package."""
    return dict(_formats())


@functools.cache
def _formats() -> dict[str, Format]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found: list[Format] = [import_module(f"{__name__}.{name}").FORMAT for name in names]
    return {each.name: each for each in found}


@functools.cache
def _structured() -> frozenset[str]:
    """Return the keys by which rows are told apart and taken apart, of all formats."""
    return frozenset(key for each in _formats().values() for key in each.structured)


def find_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _formats():
        raise ConfigError("format", [f"unknown format {name!r}{suggest(name, _formats())}"])
    return _formats()[name]


def read_row(row: Any, place: Place, format: Format | None = None) -> tuple[Format, list[Record]]:
    """Return the format of a row, guessed unless given, and the records it holds.

    Raises:
        RecordError: what is wrong with it.
    """
    if not isinstance(row, Mapping):
        raise RecordError(place.where, f"a row is a JSON object {{…}}, got {type(row).__name__}")
    opened = _with_structure(row, place.where)
    chosen = format or _detect(opened, place.where)
    records = chosen.read(opened, place)
    for record in records:
        _check_turns(record, place.where)
    return chosen, records


def _with_structure(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Parse the columns of a table that hold JSON as text."""
    opened = dict(row)
    for key in _structured():
        if isinstance(opened.get(key), str):
            try:
                opened[key] = parse_json(opened[key], where)
            except RecordError as error:
                raise RecordError(where, f"{key!r}: {error.reason}") from None
    return opened


def _detect(row: Mapping[str, Any], where: str) -> Format:
    found = [each for each in _formats().values() if each.matches(row)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(each.name for each in found)
        raise RecordError(where, f"it may be {names}; say which with --format")
    keys = ", ".join(map(repr, list(row)[:10])) or "none"
    known = "; ".join(f"{each.name}: {each.shape}" for each in _formats().values())
    raise RecordError(where, printable(f"no known format has its keys ({keys}). Known are {known}"))


def _check_turns(record: Record, where: str) -> None:
    """Refuse a conversation that no chat template could show as it is meant."""
    previous = "system"
    for number, message in enumerate(record.messages, start=1):
        turn = f"turn {number} ({message.role})"
        if message.role == "system" and number > 1:
            raise RecordError(where, f"{turn}: a system message can only come first; move it there")
        if message.role == previous and number > 1:
            raise RecordError(where, f"{turn}: it follows a turn of the same role; join the two")
        if message.role == "assistant" and previous == "system":
            raise RecordError(where, f"{turn}: a user turn must come before it; add one")
        media = [part.type for part in message.content if part.text is None]
        if media and message.role != "user":
            reason = f"it holds a medium ({media[0]}); media belong into user turns"
            raise RecordError(where, f"{turn}: {reason}")
        if not media and not any((part.text or "").strip() for part in message.content):
            raise RecordError(where, f"{turn}: it is empty; fill it or remove the record")
        previous = message.role
    if previous == "system":
        raise RecordError(where, "there is no user turn; add one")


def validated(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Build `model` from a row, or raise one RecordError of one line that tells every problem."""
    try:
        return validate(model, values, where)
    except ConfigError as error:
        problems = [_about_field(problem) for problem in error.problems[:MOST_PROBLEMS]]
        if more := len(error.problems) - MOST_PROBLEMS:
            problems += [f"and {more:,} more"] if more > 0 else []
        raise RecordError(where, printable("; ".join(problems))) from None


def _about_field(problem: str) -> str:
    # What is wrong with a row as a whole needs no excerpt of the row.
    whole = problem.removeprefix("'value': ")
    return whole.rpartition(" (got ")[0] if whole != problem else problem


def complete(
    row: Mapping[str, Any], record: Record, model: type[ForeignRow], where: str
) -> dict[str, Any]:
    """Add what a record says besides its conversation to the row of another format.

    Raises:
        RecordError: a key of `meta` has a meaning of its own in `model`, the format's row.
    """
    about = {"lang": record.lang, "group": record.group}
    meta = record.meta or {}
    if taken := sorted(meta.keys() & (_structured() | model.model_fields.keys())):
        reason = (
            f"meta.{taken[0]} cannot be kept: {taken[0]!r} has a meaning of its own in the format"
        )
        raise RecordError(where, reason)
    return {**row, **{key: value for key, value in about.items() if value is not None}, **meta}
