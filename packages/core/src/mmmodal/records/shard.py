"""One shard of a data set, and the list of all: files of rows, some of which are fetched later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmmodal.contracts.format import Format
from mmmodal.errors import RecordError
from mmmodal.media.source import Source

__all__ = ["LocalShard", "Shard", "Shards"]


class Shard(Protocol):
    """One file of rows."""

    @property
    def name(self) -> str:
        """Its name for errors and notes: its path, or its address on the Hub."""

    @property
    def folder(self) -> Path | None:
        """The folder of relative media paths; None if it is that of the file."""

    def path(self) -> Path:
        """Return the local file, after fetching it if it is not here yet.

        Raises:
            RecordError: it cannot be fetched.
        """

    def beside(self, uri: str) -> Source | None:
        """Return the medium at a relative path beside the file, which is fetched when it is read.

        None if the medium is on this machine, or no relative path leads to it.
        """


@dataclass(frozen=True)
class LocalShard:
    """A file, or a folder that `datasets` saved, on this machine."""

    file: Path
    folder: Path | None = None
    """The folder of relative media paths; None if it is that of the file."""

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.file)

    def path(self) -> Path:
        """Return the file."""
        return self.file

    def beside(self, uri: str) -> Source | None:
        """Return None."""
        return None


@dataclass(frozen=True)
class Shards:
    """The shards of a data set, in their order."""

    label: str
    """What the user named, for errors and reports."""

    shards: tuple[Shard, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    """What was resolved, by key: the `revision` of a data set of the Hub."""

    format: Format | None = None
    """The format of its rows, where a description of the data set says it."""

    def read_as(self, format: str | Format | None) -> str | Format | None:
        """Return the format of all rows: the given one, or that of the description.

        Raises:
            RecordError: there are both.
        """
        if format is not None and self.format is not None:
            reason = f"it says itself that its format is {self.format.name!r}; leave out `format`"
            raise RecordError(self.label, reason)
        return self.format if format is None else format

    def root(self) -> Path:
        """Return the folder that the relative media paths of all shards begin in, or below."""
        folders = [shard.folder or shard.path().parent for shard in self.shards]
        return Path(os.path.commonpath(folders))

    def paths(self) -> list[Path]:
        """Return the local files of all shards, after fetching those that are not here yet.

        Raises:
            RecordError: one cannot be fetched.
        """
        return [shard.path() for shard in self.shards]
