"""The common parts of reading and writing rows of other formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from mmmodal.config import validate
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import structured_keys
from mmmodal.records.json_text import printable
from mmmodal.records.remainder import Remainder

__all__ = ["ForeignRow", "complete", "validated"]

MOST_PROBLEMS = 5

M = TypeVar("M", bound=BaseModel)


class ForeignRow(BaseModel):
    """The base class of rows of other formats; keys without a field are kept in `meta`."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    id: str | None = None
    lang: str | None = None
    group: str | None = None

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    def record(self, place: Place, values: Mapping[str, Any], **changes: Any) -> Record:
        """Return the record of `messages` and `media`, with the row's other keys."""
        about = {
            "id": place.fallback_id if self.id is None else self.id,
            "lang": self.lang,
            "group": self.group,
            "meta": self.model_extra or None,
        }
        return validated(Record, about | dict(values) | changes, place.where)


def validated(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Return an instance of `model` for a row, or raise a RecordError that lists all problems."""
    try:
        return validate(model, values, where)
    except ConfigError as error:
        problems = [_about_field(problem) for problem in error.problems[:MOST_PROBLEMS]]
        if more := len(error.problems) - MOST_PROBLEMS:
            problems += [f"and {more:,} more"] if more > 0 else []
        raise RecordError(where, printable("; ".join(problems))) from None


def _about_field(problem: str) -> str:
    # An error of the whole row needs no excerpt of it.
    whole = problem.removeprefix("'value': ")
    return whole.rpartition(" (got ")[0] if whole != problem else problem


def complete(row: Mapping[str, Any], record: Record, format: Format, where: str) -> dict[str, Any]:
    """Return the row of another format with the record's id, group, language and `meta`.

    Raises:
        RecordError: a key of `meta` is one that the format reads, or names media or turns.
    """
    about = {"lang": record.lang, "group": record.group}
    meta = record.meta or {}
    whole = {**row, **{key: value for key, value in about.items() if value is not None}}
    taken = meta.keys() & {*structured_keys(), *format.uses(meta)}
    rest = Remainder({**meta, **whole}, format, where)
    claimed = rest.claimed(record, sorted(meta.keys() - taken))
    for key in (*sorted(taken), *claimed):
        reason = f"meta.{key} cannot be kept: {key!r} means something else here; rename it"
        raise RecordError(where, reason)
    return {**whole, **meta}
