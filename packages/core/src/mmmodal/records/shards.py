"""Find the shards of a data set by what a user writes as its path."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mmmodal.errors import RecordError
from mmmodal.records.dataset_info import describes, read_description
from mmmodal.records.hub import find_hub_shards, is_on_hub
from mmmodal.records.json_text import printable
from mmmodal.records.mds_index import is_mds_folder, mds_shards
from mmmodal.records.rows import system_errors
from mmmodal.records.shard import LocalShard, Shards
from mmmodal.records.shard_names import (
    NO_SHARDS,
    check_one_kind,
    check_split,
    expand_braces,
    in_natural_order,
    kind_of,
    select_split,
    several_splits,
    shown,
)

__all__ = ["find_shards", "hub_address"]

WILD = re.compile(r"[*?\[{}]")


def find_shards(
    path: str | Path,
    *,
    split: str | None = None,
    name: str | None = None,
    revision: str | None = None,
) -> Shards:
    """Return the shards of a data set.

    Args:
        path: a file; a folder that `datasets` saved; a folder of shards of one kind, MDS among
            them; a pattern such as `data/*.parquet` or `shards/{000..123}.tar`; or a data set of
            the Hub: its id `namespace/name`, where no such local path exists, or
            `hf://datasets/namespace/name[@revision][/pattern]`; or a `dataset_info.json` of
            LLaMA-Factory, which describes data sets.
        split: the split, where there are several.
        name: the configuration of a data set of the Hub, or the name of one that is described.
        revision: the branch, tag or commit of a data set of the Hub.

    Raises:
        RecordError: there is no such data set, or it is not clear which files are meant.
    """
    text = str(path)
    where = printable(text)
    with system_errors(where):
        local = Path(text)
        if is_on_hub(text):
            return find_hub_shards(text, split=split, name=name, revision=revision)
        if describes(local):
            return _described(local, split=split, name=name, revision=revision)
        _refuse_options(where, name=name, revision=revision)
        if local.is_dir():
            return Shards(text, _local(_in_folder(local, split)))
        if local.exists():
            return Shards(text, _local([_only_file(local, split)]))
        if WILD.search(text):
            return Shards(text, _local(_matches(text, split)))
    raise RecordError(where, "no such file; check its name")


def hub_address(path: str, name: str | None = None) -> str | None:
    """Return the address on the Hub of what a path names; None if it is here.

    Args:
        path: as for `find_shards`.
        name: the name of a data set that the path describes.

    Raises:
        RecordError: the path describes no such data set.
    """
    if describes(Path(path)):
        return hub_address(read_description(Path(path), name).path)
    return path if is_on_hub(path) else None


def _described(file: Path, *, split: str | None, name: str | None, revision: str | None) -> Shards:
    """Return the shards of a data set that a file describes, and the format of its rows."""
    entry = read_description(file, name)
    settings = {"split": split or entry.split, "name": entry.name, "revision": revision}
    found = find_shards(entry.path, **settings)
    # Local media are searched in the folder of the description.
    shards = (
        dataclasses.replace(shard, folder=file.parent) if isinstance(shard, LocalShard) else shard
        for shard in found.shards
    )
    return dataclasses.replace(found, label=str(file), shards=tuple(shards), format=entry.format)


def _local(files: Sequence[Path]) -> tuple[LocalShard, ...]:
    return tuple(LocalShard(file) for file in files)


def _refuse_options(where: str, **options: str | None) -> None:
    given = [f"`{name}`" for name, value in options.items() if value is not None]
    if given:
        reason = f"it is a local path, which has no {' and no '.join(given)}; leave that out"
        raise RecordError(where, reason)


def _only_file(file: Path, split: str | None) -> Path:
    if split is not None:
        raise RecordError(
            printable(file), "it is one table, so it has no splits; leave out `split`"
        )
    return file


def _in_folder(folder: Path, split: str | None) -> list[Path]:
    """Return the shards in a folder, or the folder itself if `datasets` saved it."""
    where = printable(folder)
    if (folder / "dataset_dict.json").is_file():
        return [folder / _saved_split(folder, split)]
    if (folder / "state.json").is_file():
        return [_only_file(folder, split)]
    if is_mds_folder(folder):
        return [_only_file(file, split) for file in mds_shards(folder)]
    if split is not None and is_mds_folder(folder / split):
        return mds_shards(folder / split)
    names = _shard_names(folder)
    names = select_split(names, split, where, whole=True)
    check_one_kind(names, where)
    return [folder / name for name in names]


def _saved_split(folder: Path, split: str | None) -> str:
    """Return a split of a folder with several that `datasets` saved, or its only one."""
    known = [path.parent.name for path in folder.glob("*/state.json")]
    if split is not None:
        check_split(split, known, printable(folder))
        return split
    if len(known) != 1:
        raise several_splits(known, printable(folder))
    return known[0]


def _shard_names(folder: Path) -> list[str]:
    """Return the names of shards in a folder, or in its subfolders if it has none."""
    for pattern in ("*", "**/*"):
        found = [path for path in folder.glob(pattern) if kind_of(path.name) and path.is_file()]
        visible = [str(path.relative_to(folder).as_posix()) for path in found]
        if names := [name for name in visible if not re.search(r"(?:^|/)\.", name)]:
            return in_natural_order(names)
    held = in_natural_order(path.name for path in folder.iterdir())
    content = f"it holds {shown(held)}" if held else "it is empty"
    raise RecordError(printable(folder), f"the folder {NO_SHARDS}: {content}")


def _matches(pattern: str, split: str | None) -> list[Path]:
    """Return the files of a pattern, each once.

    Raises:
        RecordError: there are none, or a shard that the pattern names is missing.
    """
    where = printable(pattern)
    names: dict[str, None] = {}
    missing = []
    for each in expand_braces(pattern):
        found = _expand_wild(each)
        names |= dict.fromkeys(found)
        if not found:
            missing.append(each)
    if not names:
        raise RecordError(where, "no file matches; check the pattern and the folder")
    if missing:
        reason = (
            f"{len(missing):,} of its shards do not exist: {shown(missing)}; correct the pattern"
        )
        raise RecordError(where, reason)
    above = os.path.commonpath([os.path.dirname(name) for name in names])
    below = {os.path.relpath(name, above or "."): Path(name) for name in names}
    chosen = select_split(list(below), split, where, whole=False)
    check_one_kind(chosen, where)
    return [below[name] for name in chosen]


def _expand_wild(pattern: str) -> list[str]:
    """Return the files that a pattern without braces matches; shards of a folder that it names."""
    found = [pattern] if Path(pattern).exists() else glob.glob(pattern, recursive=True)
    if files := [name for name in found if not Path(name).is_dir()]:
        return in_natural_order(files)
    return [str(file) for name in in_natural_order(found) for file in _in_folder(Path(name), None)]
