"""A dataset of a recipe: files of records with their weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mmmodal.config import Config
from mmmodal.errors import ConfigError
from mmmodal.records.shard_names import HUB

__all__ = ["DataSource"]


class DataSource(Config):
    """One data set."""

    path: str = Field(min_length=1)
    """A file, a folder of shards, a pattern such as `shards/{000..123}.tar`, or a data set of the
    Hub: all that `mmmodal data check` accepts."""

    split: str | None = None
    """The split, where the data set has several."""

    name: str | None = None
    """The configuration of a data set of the Hub."""

    revision: str | None = None
    """The branch, tag or commit of a data set of the Hub. A run notes the commit, and resumes with
    it."""

    weight: float = Field(1.0, gt=0)
    """How many times each record occurs in an epoch; with 0.5, half of the records occur in one."""

    format: str | None = None
    """The format of its rows; by default it is detected for each row."""

    root: Path | None = None
    """The folder of its relative media paths; by default the recipe's `root`."""

    @field_validator("path", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Return a path in its usual form, so that `./a.jsonl` is `a.jsonl` when a run resumes."""
        if not isinstance(value, str | Path) or not str(value) or str(value).startswith(HUB):
            return value
        return str(Path(value))

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        from mmmodal.records.detection import find_format

        if value is not None:
            try:
                find_format(value)
            except ConfigError as error:
                raise ValueError(error.problems[0]) from None
        return value

    streaming: bool = False
    """Whether to read the file in shards, shuffled in a window, instead of indexing it first. The
    weights of data of which one is streamed are proportions of the records that are read."""

    def summary(self) -> str | dict[str, Any]:
        """Return the entry as in a recipe: only the path if nothing else is set."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return values["path"] if values.keys() == {"path"} else values
