"""Data sets of the Hugging Face Hub: their files at one commit, each downloaded on demand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mmmodal.config import suggest
from mmmodal.downloads import is_repository_name
from mmmodal.errors import RecordError, one_line
from mmmodal.records.hub_shard import HubShard, hub_errors
from mmmodal.records.shard import Shards
from mmmodal.records.shard_names import (
    HUB,
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

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

__all__ = ["COMMIT", "find_commit", "find_hub_shards", "is_on_hub"]

ADDRESS = re.compile(
    r"hf://datasets/(?P<id>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?"
    r"(?:/(?P<files>.*))?"
)
COMMIT = re.compile(r"[0-9a-f]{40}")
WILD = re.compile(r"[*?\[]")
FILES = {".gz", ".txt", ".yaml", ".yml", ".zip", ".zst"}
"""Suffixes of files that hold no rows, but are not ids of the Hub either."""


def _looks_like_id(text: str) -> bool:
    """Return whether a path that does not exist may be the id of a data set of the Hub."""
    path = PurePosixPath(text)
    is_file = kind_of(path.name) is not None or path.suffix.lower() in FILES
    return not is_file and not Path(text).parent.exists() and is_repository_name(text)


def is_on_hub(path: str) -> bool:
    """Return whether a path names a data set of the Hub; one that exists here does not."""
    return path.startswith(HUB) or (not Path(path).exists() and _looks_like_id(path))


def find_commit(address: str, revision: str | None) -> str:
    """Return the commit of a data set of the Hub at a revision.

    Args:
        address: as for `find_hub_shards`.
        revision: the branch, tag or commit; by default that of the address, or the main branch.

    Raises:
        RecordError: the Hub cannot be reached or refuses, or there is no such revision.
    """
    repository, given, _ = _parse(address)
    return str(_info(address, repository, given, revision).sha)


def _info(address: str, repository: str, given: str | None, revision: str | None) -> DatasetInfo:
    """Return what the Hub says of a data set at a revision, which its address may give too."""
    if given and revision and given != revision and not COMMIT.fullmatch(revision):
        reason = f"it names the revision {given!r:.80}, and `revision` is {revision!r:.80}"
        raise RecordError(address, f"{reason}; leave out one")
    revision = revision or given
    with hub_errors(repository, revision):
        from huggingface_hub import HfApi

        return HfApi().dataset_info(repository, revision=revision)


def find_hub_shards(
    address: str, *, split: str | None, name: str | None, revision: str | None
) -> Shards:
    """Return the shards of a data set of the Hub at one commit, which is noted as `revision`.

    Args:
        address: `namespace/name` or `hf://datasets/namespace/name[@revision][/pattern]`.
        split: the split, where there are several.
        name: the configuration, where there are several.
        revision: a branch, tag or commit; by default the main branch.

    Raises:
        RecordError: the Hub cannot be reached or refuses, or it is not clear which files are meant.
    """
    repository, given, files = _parse(address)
    held = _Held(address, _info(address, repository, given, revision))
    if not files:
        names = held.of_split(split, name)
    elif name is not None:
        raise RecordError(address, "`name` is for whole data sets; leave it out")
    else:
        names = held.matching(files, split)
    check_one_kind(names, address)
    shards = tuple(HubShard(repository, held.commit, file) for file in names)
    return Shards(address, shards, {"revision": held.commit})


def _parse(address: str) -> tuple[str, str | None, str | None]:
    """Return the id, revision and pattern of files of an address."""
    if not address.startswith(HUB):
        return address, None, None
    if (parts := ADDRESS.fullmatch(address)) is None or not is_repository_name(parts["id"]):
        reason = "write hf://datasets/namespace/name, then @revision and /files if you like"
        raise RecordError(address, f"it is no address of a data set; {reason}")
    return parts["id"], parts["revision"] and unquote(parts["revision"]), parts["files"]


class _NoFilesError(ValueError):
    """`datasets` finds no files that it knows in a data set."""


class _Held:
    """What a data set holds at a commit."""

    def __init__(self, address: str, info: DatasetInfo) -> None:
        self.address, self.repository, self.commit = address, info.id, str(info.sha)
        self.names = in_natural_order(file.rfilename for file in info.siblings or [])

    def matching(self, pattern: str, split: str | None) -> list[str]:
        """Return the files that a pattern or the name of a folder or file stands for."""
        found: dict[str, None] = {}
        missing = []
        for each in expand_braces(pattern.rstrip("/")):
            names = self._match(each)
            found |= dict.fromkeys(names)
            if not names:
                missing.append(each)
        if missing:
            reason = f"it has no {shown(missing)}; it holds {shown(self.names)}"
            raise RecordError(self.address, reason)
        is_folder = WILD.search(pattern) is None
        return select_split(list(found), split, self.address, whole=is_folder)

    def _match(self, pattern: str) -> list[str]:
        if pattern in self.names:
            return [pattern]
        if WILD.search(pattern) is None:
            below = [name for name in self.names if name.startswith(f"{pattern}/")]
            return [name for name in below if kind_of(name)]
        from huggingface_hub import HfFileSystem

        root = f"datasets/{self.repository}@{self.commit}/"
        with hub_errors(self.repository, self.commit):
            matches = HfFileSystem().glob(root + pattern)
        found = {match.removeprefix(root) for match in matches}
        return [name for name in self.names if name in found]

    def of_split(self, split: str | None, name: str | None) -> list[str]:
        """Return the files of a split of a configuration, as `datasets` resolves them."""
        mds = [each for each in self.names if kind_of(each) == "MDS"]
        if mds:  # `datasets` would take its index for rows
            return select_split(mds, split, self.address, whole=True)
        splits = {key: list(filter(kind_of, names)) for key, names in self._splits(name).items()}
        if not any(splits.values()):
            return self._by_names(split, name)
        if split is not None:
            check_split(split, splits, self.address)
            return splits[split]
        if len(splits) > 1:
            raise several_splits(splits, self.address)
        (names,) = splits.values()
        return names

    def _by_names(self, split: str | None, name: str | None) -> list[str]:
        """Return the files of a split by their names, where `datasets` knows no files."""
        shards = list(filter(kind_of, self.names))
        if not shards or name is not None:
            held = f"it holds {shown(self.names)}" if self.names else "it is empty"
            raise RecordError(self.address, f"it {NO_SHARDS}: {held}")
        return select_split(shards, split, self.address, whole=True)

    def _splits(self, name: str | None) -> Mapping[str, list[str]]:
        """Return the files of each split of a configuration; none if `datasets` knows no files."""
        # A local folder of this name must not be taken for it.
        remote = f"{HUB}datasets/" if Path(self.repository).is_dir() else ""
        try:
            builder = self._builder(f"{remote}{self.repository}", name)
        except RecordError:
            raise
        except _NoFilesError:
            return {}
        except ValueError as error:
            raise self._unknown_name(name, error) from None
        except RuntimeError:
            reason = (
                "a script makes it, and no script of a data set is run; name files of it, as in"
            )
            example = f"hf://datasets/{self.repository}/data/*.parquet"
            raise RecordError(self.address, f"{reason} {example}") from None
        root = f"hf://datasets/{self.repository}@{self.commit}/"
        files = builder.config.data_files or {}
        return {
            split: in_natural_order(self._own(file, root) for file in names)
            for split, names in files.items()
        }

    def _builder(self, source: str, name: str | None) -> Any:
        """Return the builder of `datasets`; raises _NoFilesError if it knows no files."""
        import datasets
        from huggingface_hub.errors import LocalEntryNotFoundError

        with hub_errors(self.repository, self.commit):
            try:
                return datasets.load_dataset_builder(source, name, revision=self.commit)
            except FileNotFoundError as error:
                if isinstance(error, LocalEntryNotFoundError):
                    raise
                raise _NoFilesError from None

    def _own(self, file: str, root: str) -> str:
        if not file.startswith(root):
            raise RecordError(self.address, f"its file {file} is not its own; name that data set")
        return file.removeprefix(root)

    def _unknown_name(self, name: str | None, error: ValueError) -> RecordError:
        import datasets

        with hub_errors(self.repository, self.commit):
            known = datasets.get_dataset_config_names(self.repository, revision=self.commit)
        if name is None and len(known) > 1:
            reason = f"it has several configurations: {', '.join(known)}; name one by `name`"
        elif name is not None and name not in known:
            reason = f"it has no configuration {name!r:.80}{suggest(name, known)}"
        else:
            reason = f"`datasets` cannot read its description: {one_line(error)}"
        return RecordError(self.address, reason)
