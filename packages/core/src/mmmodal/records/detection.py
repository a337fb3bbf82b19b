"""Detect the format of a row, and read its records."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmmodal.config import suggest, validate
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.faults import cause, raised
from mmmodal.plugins import registry
from mmmodal.records.json_text import check_object, parse_json, printable
from mmmodal.records.paths import with_local_paths
from mmmodal.records.remainder import Remainder

__all__ = [
    "ReadRow",
    "find_format",
    "formats",
    "read_row",
    "read_whole_row",
    "structured_keys",
    "unused_keys",
]


def formats() -> dict[str, type[Format]]:
    """Return the formats of all plugins by name.

    Raises:
        PluginError: two plugins provide the same one.
    """
    names = registry().names("formats")
    found = {name: registry().get("formats", name) for name in names}
    return {name: provided.part for name, provided in found.items() if provided}


@functools.cache
def _found() -> tuple[Format, ...]:
    """Return the formats that rows are found to be of, with their default options."""
    known = formats().items()
    return tuple(find_format(name) for name, each in known if each.found and not _required(each))


def _required(format: type[Format]) -> bool:
    return any(field.is_required() for field in format.Options.model_fields.values())


@functools.cache
def structured_keys() -> frozenset[str]:
    """Return the keys of all formats that a table may hold as JSON texts."""
    return frozenset(key for each in formats().values() for key in each.structured)


def find_format(name: str, options: Mapping[str, Any] | None = None) -> Format:
    """Return the format named `name`.

    Args:
        name: the name.
        options: the options of the format; by default its defaults.

    Raises:
        ConfigError: there is no such format, or it has no such options.
        PluginError: two plugins provide it.
    """
    return _with_defaults(name) if not options else _with_options(name, options)


@functools.lru_cache(maxsize=64)
def _with_defaults(name: str) -> Format:
    return _with_options(name, {})


def _with_options(name: str, options: Mapping[str, Any]) -> Format:
    known = formats()
    if name not in known:
        raise ConfigError("format", [f"unknown format {name!r}{suggest(name, known)}"])
    schema = known[name].Options
    return known[name](validate(schema, options, f"options of the format {name!r}"))


class ReadRow(NamedTuple):
    """The format of a row, its records, and its keys that are not read, but kept in `meta`."""

    format: Format
    records: list[Record]
    unused: tuple[str, ...]


def read_row(row: Any, place: Place, format: Format | None = None) -> tuple[Format, list[Record]]:
    """Return the format of a row, which is detected unless given, and its records.

    A system prompt under a key of its own becomes the first turn.

    Raises:
        RecordError: the row is not valid, or says more than its records.
    """
    found = read_whole_row(row, place, format)
    return found.format, found.records


def read_whole_row(row: Any, place: Place, format: Format | None = None) -> ReadRow:
    """Return what `read_row` does, with the keys that are not read.

    A system prompt under a key of its own becomes the first turn.

    Raises:
        RecordError: the row is not valid, or says more than its records.
    """
    check_object(row, place.where)
    opened = _with_structure(row, place.where)
    chosen = format or _detect(opened, place.where)
    remainder = Remainder(opened, chosen, place.where)
    try:
        read: list[Record] = _ask(chosen, "read", remainder.rest, place)
    except RecordError as error:
        if unread := remainder.cause():
            raise RecordError(place.where, printable(f"{error.reason}; {unread}")) from None
        raise
    records = [remainder.completed(record, len(read)) for record in read]
    remainder.check(records)
    for record in records:
        _check_turns(record, place.where)
    return ReadRow(chosen, [with_local_paths(each) for each in records], remainder.unused)


def unused_keys(row: Mapping[str, Any], format: Format) -> tuple[str, ...]:
    """Return the keys of a row that a format does not read, but keeps in `meta`."""
    return Remainder(row, format, "").unused


def _with_structure(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a row of a table with its columns of JSON text parsed."""
    opened = dict(row)
    for key in structured_keys():
        if isinstance(opened.get(key), str):
            try:
                opened[key] = parse_json(opened[key], where)
            except RecordError as error:
                raise RecordError(where, f"{key!r}: {error.reason}") from None
    return opened


def _detect(row: Mapping[str, Any], where: str) -> Format:
    matching = [each for each in _found() if _ask(each, "matches", row)]
    general = {name for each in matching for name in each.narrows}
    found = [each for each in matching if each.name not in general]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(each.name for each in found)
        raise RecordError(
            where, f"its format may be {names}; choose one with --format (`format` in recipes)"
        )
    given = [key for key, value in row.items() if value is not None]
    keys = ", ".join(map(repr, given[:10])) or "none"
    known = "; ".join(f"{each.name}: {each.shape}" for each in _found())
    reason = f"no format has its keys ({keys}); `mmmodal data guess` looks at their values"
    raise RecordError(where, printable(f"{reason}. Known formats: {known}"))


def _ask(format: Format, method: str, *given: Any) -> Any:
    """Return the result of a method of a format; errors not for users name the format."""
    try:
        return getattr(format, method)(*given)
    except Exception as error:
        raise raised(format, method, error) from cause(error)


def _check_turns(record: Record, where: str) -> None:
    """Raise a RecordError for a conversation that chat templates cannot express."""
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
            reason = f"it holds a medium ({media[0]}); put media into user turns"
            raise RecordError(where, f"{turn}: {reason}")
        if not media and not any((part.text or "").strip() for part in message.content):
            raise RecordError(where, f"{turn}: it is empty; fill it or remove the record")
        previous = message.role
    if previous == "system":
        raise RecordError(where, "there is no user turn; add one")
