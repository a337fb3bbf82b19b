"""The common parts of reading and writing rows of other formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from mmmodal.config import validate
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Expectation, Message, Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import structured_keys
from mmmodal.records.json_text import printable
from mmmodal.records.remainder import Remainder

__all__ = ["ForeignRow", "complete", "expectation", "expects", "last_expectation", "validated"]

MOST_PROBLEMS = 5

M = TypeVar("M", bound=BaseModel)


class ForeignRow(BaseModel):
    """The base class of rows of other formats; keys without a field are kept in `meta`."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    id: str | None = None
    lang: str | None = None
    group: str | None = None
    cluster: str | None = None
    expect: Expectation | None = None
    """How the last answer is scored."""

    @field_validator("id", "cluster", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    def record(
        self,
        place: Place,
        values: Mapping[str, Any],
        expect: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Record:
        """Return the record of `messages` and `media`, with the row's other keys.

        Args:
            place: the position of the row.
            values: `messages` and `media`.
            expect: how the last answer is scored, as the format knows; the row's `expect` goes
                before.
            changes: what else a record has, in place of what the row says.
        """
        given = self.expect.model_dump(exclude_unset=True) if self.expect else {}
        if expect or self.expect:
            whole = {**(expect or {}), **given}
            values = {**values, "messages": _expecting(values["messages"], whole, place.where)}
        about = {
            "id": place.fallback_id if self.id is None else self.id,
            "lang": self.lang,
            "group": self.group,
            "cluster": self.cluster,
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


def _expecting(
    messages: Sequence[Mapping[str, Any]], expect: Mapping[str, Any], where: str
) -> list[Mapping[str, Any]]:
    """Return messages of which the last says how it is scored."""
    if not messages:
        return []
    *earlier, last = messages
    if last.get("expect") is not None:
        raise RecordError(where, "the row and its last message have `expect`; keep one")
    return [*earlier, {**last, "expect": expect}]


def expectation(message: Message) -> dict[str, Any]:
    """Return the key `expect` of a written message, with what is not the default."""
    if message.expect is None:
        return {}
    return {"expect": message.expect.model_dump(mode="json", exclude_defaults=True)}


def last_expectation(record: Record, where: str) -> dict[str, Any]:
    """Return the key `expect` of a row, for its last answer.

    Raises:
        RecordError: another turn has an expectation.
    """
    if any(expects(record)[:-1]):
        reason = "this format can only say how the last answer is scored (`expect`); name another"
        raise RecordError(where, reason)
    return expectation(record.messages[-1])


def expects(record: Record) -> list[Expectation | None]:
    """Return how each turn of a record is scored."""
    return [message.expect for message in record.messages]


def _about_field(problem: str) -> str:
    # An error of the whole row needs no excerpt of it.
    whole = problem.removeprefix("'value': ")
    return whole.rpartition(" (got ")[0] if whole != problem else problem


def complete(row: Mapping[str, Any], record: Record, format: Format, where: str) -> dict[str, Any]:
    """Return the row of another format with the record's group, cluster, language and `meta`.

    Raises:
        RecordError: a key of `meta` is one that the format reads, or names media or turns.
    """
    about = {name: getattr(record, name) for name in ("lang", "group", "cluster")}
    meta = record.meta or {}
    whole = {**row, **{key: value for key, value in about.items() if value is not None}}
    taken = meta.keys() & {*structured_keys(), *format.uses(meta)}
    rest = Remainder({**meta, **whole}, format, where)
    claimed = rest.claimed(record, sorted(meta.keys() - taken))
    for key in (*sorted(taken), *claimed):
        reason = f"meta.{key} cannot be kept: {key!r} means something else here; rename it"
        raise RecordError(where, reason)
    return {**whole, **meta}
