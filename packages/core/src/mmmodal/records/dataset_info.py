"""Data sets as a `dataset_info.json` of LLaMA-Factory describes them: where, and of what form.

The keys are those that its `data/README.md` documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from mmmodal.config import Config, suggest, validate
from mmmodal.contracts.format import Format
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import find_format
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.rows import system_errors
from mmmodal.records.shard_names import HUB, shown

__all__ = ["Described", "describes", "read_description"]

INFO = "dataset_info.json"
FORMATS = {"alpaca": "alpaca", "sharegpt": "llava"}
"""Our format of each `formatting`."""

TRAIN = "train"


@dataclass(frozen=True)
class Described:
    """One data set: what `find_shards` finds it by, and the format of its rows."""

    path: str
    format: Format
    split: str | None = None
    name: str | None = None


class _Entry(Config):
    hf_hub_url: str | None = None
    ms_hub_url: str | None = None
    om_hub_url: str | None = None
    script_url: str | None = None
    cloud_file_name: str | None = None
    file_name: str | None = None
    formatting: Literal["alpaca", "sharegpt"] = "alpaca"
    ranking: bool = False
    subset: str | None = None
    split: str | None = None
    folder: str | None = None
    num_samples: int | None = None
    columns: dict[str, Any] = Field(default={})
    tags: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _can_be_read(self) -> _Entry:
        if problems := [*self._problems()]:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        """Yield what of it is not supported."""
        if self.ranking:
            yield "it is a set of preferences ('ranking'), which are not trained on"
        if self.num_samples is not None:
            yield "'num_samples' is not supported; remove it, and use `weight` in the recipe"
        # LLaMA-Factory takes any of these before the file.
        elsewhere = {
            "ms_hub_url": self.ms_hub_url,
            "om_hub_url": self.om_hub_url,
            "script_url": self.script_url,
            "cloud_file_name": self.cloud_file_name,
        }
        given = ", ".join(key for key, value in elsewhere.items() if value is not None)
        if self.hf_hub_url is None and (given or self.file_name is None):
            reason = "its place must be 'hf_hub_url' or 'file_name'"
            yield f"{reason}, but it has {given or 'neither'}"
        if self.hf_hub_url is None and (self.folder or self.subset):
            yield "'folder' and 'subset' are of data sets of the Hub; remove them"
        if self.folder and self.subset:
            yield "it has 'folder' and 'subset'; keep one of them"
        if self.formatting == "alpaca" and self.columns and "response" not in self.columns:
            # LLaMA-Factory takes such rows for texts to pretrain on.
            yield "its columns name no 'response', so that nothing would be learned; name it"


def describes(path: Path) -> bool:
    """Return whether a path is that of a description of data sets."""
    return path.name == INFO and path.is_file()


def read_description(path: Path, name: str | None) -> Described:
    """Return a data set that a file describes.

    Args:
        path: the file.
        name: the name of the data set; None if the file describes only one.

    Raises:
        RecordError: the file describes no such data set, or one that cannot be read.
    """
    where = printable(path)
    with system_errors(where):
        entries = _entries(parse_json(path.read_bytes(), where), where)
    if name is None and len(entries) > 1:
        reason = f"it describes several data sets: {shown(list(entries))}; name one by `name`"
        raise RecordError(where, reason)
    name = next(iter(entries)) if name is None else name
    if name not in entries:
        raise RecordError(where, f"it describes no data set {name!r:.80}{suggest(name, entries)}")
    where = f"{where} ({printable(name)})"
    try:
        return _described(_entry(entries[name], where), path.parent)
    except ConfigError as error:
        raise RecordError(where, printable("; ".join(error.problems))) from None


def _entries(value: Any, where: str) -> Mapping[str, Any]:
    """Return the entries of a file by name; raises a RecordError if it is of another kind."""
    is_table = isinstance(value, Mapping) and value
    if not is_table or not all(isinstance(each, Mapping) for each in value.values()):
        reason = "it does not describe data sets as LLaMA-Factory's do, an object by name of each"
        raise RecordError(where, f"{reason}; name the data themselves")
    return dict(value)


def _entry(given: Mapping[str, Any], where: str) -> _Entry:
    values = {key: value for key, value in given.items() if value is not None}
    return validate(_Entry, values, where)


def _described(entry: _Entry, folder: Path) -> Described:
    """Return a data set; raises a ConfigError for columns or tags that cannot be read."""
    options = {
        key: {name: value for name, value in named.items() if value is not None}
        for key, named in (("columns", entry.columns), ("tags", entry.tags))
        if named
    }
    form = find_format(FORMATS[entry.formatting], options)
    # LLaMA-Factory calls files so whose names say no split.
    split = None if entry.split == TRAIN else entry.split
    if entry.hf_hub_url is None:
        return Described(str(folder / str(entry.file_name)), form, split)
    # A local path of the same name is not meant.
    address = f"{HUB}datasets/{entry.hf_hub_url}"
    if entry.folder:
        return Described(f"{address}/{entry.folder.strip('/')}", form, split)
    return Described(address, form, entry.split or TRAIN, entry.subset)
