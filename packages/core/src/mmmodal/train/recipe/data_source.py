"""A dataset of a recipe: a file of records, and how much of it comes in an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mmmodal.config import Config
from mmmodal.errors import ConfigError

__all__ = ["DataSource"]


class DataSource(Config):
    """One file of records."""

    path: Path
    """The file, in any format that `mmmodal data check` accepts."""

    weight: float = Field(1.0, gt=0)
    """How often each record comes in an epoch: 2 is twice, 0.5 is half of them, then the rest."""

    format: str | None = None
    """The format of its rows; guessed for each row by default."""

    root: Path | None = None
    """Where its relative media paths begin; the recipe's `root` by default."""

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

    def summary(self) -> str | dict[str, Any]:
        """Return it as a recipe would say it: the path alone where nothing else is said."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return values["path"] if values.keys() == {"path"} else values
