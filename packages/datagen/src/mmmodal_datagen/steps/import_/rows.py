"""Rows of an import, from the values of one line of a file, or from the file of a medium."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmmodal.authoring.parts import RecordError
from mmmodal.authoring.plugins import registry
from mmmodal.authoring.records import (
    Place,
    Record,
    addresses,
    find_format,
    local_path,
    read_row,
    texts_in,
    unread_medium,
    unused_keys,
    validated,
)
from mmmodal_datagen.contracts import Medium, Row
from mmmodal_datagen.rows.records import row_of
from mmmodal_datagen.rows.tables import row_values

__all__ = [
    "Folders",
    "Imported",
    "kind_of",
    "medium_row",
    "read_values",
]

FILE_KEY = "file"  # of a medium whose modality its name tells
DESCRIPTION_KEYS = ("caption", "description", "text", "transcript", "title")
TURN_KEYS = {"messages", "conversations", "chat", "instruction"}
PATHS = (str, bytes, Mapping, list)
"""The types of values that may hold a path, or a medium that is embedded."""

REMOTE = re.compile(r"https?://", re.IGNORECASE)
ROW_KEYS = {"kind", "groups", "media"}


class Folders(NamedTuple):
    """The folder that paths in a file are relative to, and that of paths in rows."""

    own: Path
    root: Path


class Imported(NamedTuple):
    """A row, and the keys of its line that were not used, but kept in `meta`."""

    row: Row
    unused: tuple[str, ...] = ()


def kind_of(file: Path) -> str | None:
    """Return the kind of a medium by the name of its file; None if it is not named like one."""
    return _kind_by_ending(file) if file.is_file() else None


def _kind_by_ending(file: Path) -> str | None:
    """Return the modality whose files end so; the true format is checked when it is read."""
    for kind, item in registry().provided("modalities"):
        if file.suffix.lower() in item.part.endings:
            return kind
    return None


def medium_row(file: Path, root: Path) -> Row:
    """Return the row of a medium of which only the file is known."""
    kind = kind_of(file) or "audio"
    uri = Path(os.path.relpath(file, root)).as_posix()
    medium = Medium(kind=kind, uri=uri)
    row_kind = "recording" if kind == "audio" else kind
    return Row(id=uri, kind=row_kind, media=(medium,), groups=(uri,), synthetic=False)


def read_values(
    values: dict[str, Any], place: Place, folders: Folders, form: str | None
) -> Imported:
    """Return the row of one line of a file: a row of a step, a described medium or a record.

    Args:
        values: of the line.
        place: of the line, for errors.
        folders: that paths are relative to.
        form: the format of records; None: guessed.

    Raises:
        RecordError: the values are of no such form, or name media that the row does not hold.
    """
    if values.keys() >= ROW_KEYS:
        return Imported(_made(values, place))
    if not TURN_KEYS & values.keys():
        return Imported(_described(values, place, folders))
    found, records = read_row(values, place, find_format(form) if form else None)
    row = row_of([_moved(record, *folders) for record in records], place.where)
    return Imported(row, unused_keys(values, found))


def _made(values: dict[str, Any], place: Place) -> Row:
    """Return a row that a step wrote, as JSON or in a Parquet file."""
    try:
        of_row = row_values(values)
    except (ValueError, AttributeError, TypeError):
        reason = "it has the keys of a row, but values that are not valid; was it edited?"
        raise RecordError(place.where, reason) from None
    return validated(Row, of_row, place.where)


def _described(values: Mapping[str, Any], place: Place, folders: Folders) -> Row:
    """Return the row of a medium with its caption or other facts."""
    key = _medium_key(values, place)
    given = _path(values, key, place)
    kind = _kind_by_name(given, place) if key == FILE_KEY else key
    uri = _relative_uri(given, place.where, *folders)
    said = next((name for name in DESCRIPTION_KEYS if isinstance(values.get(name), str)), None)
    sources = {"caption": "caption", "transcript": "asr"}
    taken = {key, said, "id", "group", "lang", "licence", "source_url"}
    facts = {name: value for name, value in values.items() if name not in taken}
    _check_facts(facts, given, place)
    medium = {
        "kind": kind,
        "uri": uri,
        "lang": values.get("lang"),
        "description": values[said] if said else None,
        "description_source": sources.get(said, "metadata") if said else None,
        "facts": facts or None,
    }
    row = {
        "id": str(values.get("id", place.fallback_id)),
        "kind": "clip" if kind == "audio" else kind,
        "media": (medium,),
        "groups": (str(values.get("group", uri)),),
        "licence": values.get("licence"),
        "source_url": values.get("source_url"),
        "synthetic": False,
    }
    return validated(Row, row, place.where)


def _medium_key(values: Mapping[str, Any], place: Place) -> str:
    """Return the key that names the medium: its modality, or `file`."""
    known = (*registry().names("modalities"), FILE_KEY)
    keys = [key for key in known if isinstance(values.get(key), PATHS) and values[key]]
    if len(keys) > 1:
        named = " and ".join(map(repr, keys))
        raise RecordError(place.where, f"it names a medium in {named}; keep one of them")
    if not keys:
        listed = ", ".join((*known, *sorted(TURN_KEYS)))
        reason = f"it has neither a medium nor turns; known keys: {listed}"
        elsewhere = unread_medium(values, (), "name it under one of these keys")
        raise RecordError(place.where, f"{reason}; {elsewhere}" if elsewhere else reason)
    return keys[0]


EMBEDDED = (
    "the medium is embedded in the row; save it as a file first, with "
    "`mmmodal data convert --media files`"
)


def _path(values: Mapping[str, Any], key: str, place: Place) -> str:
    try:
        paths = addresses(values[key], key)
    except ValueError as error:
        raise RecordError(place.where, f"{key!r}: {error}") from None
    if len(paths) != 1:
        reason = f"{key!r} lists {len(paths)} media, not one; write a row for each"
        raise RecordError(place.where, reason)
    if not isinstance(paths[0], str):
        raise RecordError(place.where, f"{key!r}: {EMBEDDED}")
    return local_path(paths[0])


def _check_facts(facts: Mapping[str, Any], path: str, place: Place) -> None:
    """Raise a RecordError for another medium among the facts; web addresses are facts."""
    addresses_only = [text for text in texts_in(facts) if REMOTE.match(text)]
    if reason := unread_medium(facts, {path, *addresses_only}, "write a row for each medium"):
        raise RecordError(place.where, reason)


def _kind_by_name(name: str, place: Place) -> str:
    if kind := _kind_by_ending(Path(name)):
        return kind
    keys = " or ".join(map(repr, registry().names("modalities")))
    raise RecordError(place.where, f"{name[:80]!r} has no ending of a medium; use the key {keys}")


def _moved(record: Record, folder: Path, target: Path) -> Record:
    """Return a record with paths relative to `target` instead of `folder`."""
    where = f"record {record.id!r}"
    if any(ref.held is not None for ref in record.media):
        raise RecordError(where, EMBEDDED)
    uris = [_relative_uri(ref.uri, where, folder, target) for ref in record.media]
    media = [
        ref.model_copy(update={"uri": uri}) for ref, uri in zip(record.media, uris, strict=True)
    ]
    return record.model_copy(update={"media": tuple(media)})


def _relative_uri(uri: str, where: str, folder: Path, target: Path) -> str:
    """Return a path in `folder` as a path relative to `target`; one outside is an error."""
    if uri.startswith("data:") or os.path.isabs(uri):
        return uri
    found = Path(os.path.relpath(folder / uri, target))
    if found.parts[:1] == (os.pardir,):
        reason = f"its medium {uri!r} is outside of {target}; choose a folder that contains it"
        raise RecordError(where, reason)
    return found.as_posix()
