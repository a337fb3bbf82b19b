"""Rows of WebDataset shards: files of one key, of which `json` may be a row of another format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.media.source import Source
from mmmodal.records.detection import read_row
from mmmodal.records.json_text import printable
from mmmodal.records.naming import kind_of
from mmmodal.records.tar_rows import KEY, TEXTS

__all__ = ["WebDataset"]

JSON, META = "json", "meta"
TEXT = {"txt": "text", "cap": "caption"}
"""The keys of texts by the endings of their files, where they differ."""


class WebDataset(Format):
    """`KEY.json` with a row, whose media are `KEY.0.jpg` …; or `KEY.jpg` and `KEY.txt`."""

    name = "webdataset"
    shape = "`__key__` with `json`, a row that names media, or with a medium and `txt`"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row comes from a shard."""
        return KEY in row

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return all keys; media that no record holds are refused."""
        return row.keys()

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the records of the row in `json`, or of one that the files are."""
        key = str(row.get(KEY))
        members = {name: each for name, each in row.items() if isinstance(each, Source)}
        about = row.get(JSON) or {}
        if not isinstance(about, Mapping):
            raise RecordError(place.where, f"its file {key}.{JSON} must hold an object")
        texts = {TEXT.get(name, name): row[name] for name in TEXTS & row.keys()}
        named = {_last(f"{key}.{ending}"): each for ending, each in members.items()}
        whole = about
        if named:
            whole = {name: _with_members(value, name, named) for name, value in about.items()}
        if whole == about:
            whole = {**_by_modality(members, place.where), **about}
        _, records = read_row({**whole, **_new(texts, whole)}, Place(place.where, key))
        held = {ref.uri for record in records for ref in record.media if ref.held}
        if lost := [name for name, each in members.items() if each.origin not in held]:
            reason = f"its file {key}.{lost[0]} is in no message; name it in {key}.{JSON}"
            raise RecordError(place.where, printable(reason))
        return records


def _with_members(value: Any, key: str, named: Mapping[str, Source]) -> Any:
    """Return a value with the names of files of the row replaced by the files."""
    if isinstance(value, str):
        return named.get(_last(value), value)
    if isinstance(value, Mapping):
        # What is in `meta` is not read.
        return value if key == META else {k: _with_members(v, k, named) for k, v in value.items()}
    return [_with_members(each, "", named) for each in value] if isinstance(value, list) else value


def _by_modality(members: Mapping[str, Source], where: str) -> dict[str, Any]:
    """Return the media of a row whose `json` names none, under the names of their modalities."""
    found: dict[str, list[Source]] = {}
    for ending, each in members.items():
        kind = kind_of(f".{ending}")
        if kind is None:
            todo = "rename them, as keys have no dots" if "." in ending else "leave them out"
            reason = f"no installed plugin reads files that end in .{ending}; {todo}"
            raise RecordError(where, printable(reason))
        found.setdefault(kind, []).append(each)
    return {kind: each[0] if len(each) == 1 else each for kind, each in found.items()}


def _new(texts: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts of files that the row in `json` does not hold under any key."""
    held = {value.strip() for value in whole.values() if isinstance(value, str)}
    return {key: text for key, text in texts.items() if str(text).strip() not in held}


def _last(path: str) -> str:
    return path if "/" not in path and path != "." else PurePosixPath(path).name
