"""A dataset of a recipe: files of records to train on, with their weight, or to evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmmodal.config import Config, suggest
from mmmodal.records.shard_names import HUB

__all__ = ["DataSource", "HeldOutSource"]


class DataSource(Config):
    """One data set. Further keys are the options of its format."""

    model_config = ConfigDict(extra="allow")

    path: str = Field(min_length=1)
    """A file, a folder of shards, a pattern such as `shards/{000..123}.tar`, a data set of the Hub,
    or a `dataset_info.json` of LLaMA-Factory: all that `mmmodal data check` accepts."""

    split: str | None = None
    """The split, where the data set has several."""

    name: str | None = None
    """The configuration of a data set of the Hub, or the entry of a `dataset_info.json`."""

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

    streaming: bool = False
    """Whether to read the file in shards, shuffled in a window, instead of indexing it first. The
    weights of data of which one is streamed are proportions of the records that are read."""

    @model_validator(mode="wrap")
    @classmethod
    def _with_options(cls, values: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        """Check the options of the format together with the other keys."""
        problems = cls._problems(values) if isinstance(values, Mapping) else []
        try:
            source = build(values)
        except ValidationError as error:
            problems = [*map(_passed_on, error.errors()), *problems]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return source

    @classmethod
    def _problems(cls, values: Mapping[str, Any]) -> list[InitErrorDetails]:
        """Return what is wrong with the format and its options."""
        from mmmodal.records.detection import formats

        name = values.get("format")
        options = {key: values[key] for key in values.keys() - cls.model_fields.keys()}
        if isinstance(name, str) and name not in formats():
            return [_problem("format", f"unknown format {name!r}{suggest(name, formats())}", name)]
        schema = formats()[name].Options if isinstance(name, str) else Config
        try:
            schema.model_validate(options)
        except ValidationError as error:
            known = [*cls.model_fields, *schema.model_fields]
            return [_explained(each, known, name) for each in error.errors()]
        return []

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the format."""
        return self.model_extra or {}

    def summary(self) -> str | dict[str, Any]:
        """Return the entry as in a recipe: only the path if nothing else is set."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return values["path"] if values.keys() == {"path"} else values


class HeldOutSource(DataSource):
    """One data set to evaluate."""

    @model_validator(mode="after")
    def _drawn_from(self) -> Self:
        if self.streaming:
            raise ValueError(
                "the records to evaluate are drawn from all, so their file has an index; remove "
                "streaming"
            )
        if self.weight != 1:
            raise ValueError("records are evaluated once each; remove weight")
        return self


def _problem(key: str, reason: str, value: Any) -> InitErrorDetails:
    error = PydanticCustomError("option", "{reason}", {"reason": reason})
    return InitErrorDetails(type=error, loc=(key,), input=value)


def _passed_on(error: Any) -> InitErrorDetails:
    """Return an error of pydantic as one of the settings around it."""
    about = error.get("ctx", {})
    return InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"], ctx=about)


def _explained(error: Any, known: Sequence[str], format: Any) -> InitErrorDetails:
    """Return the error of an option; that of an unknown key suggests another one."""
    if error["type"] != "extra_forbidden" or len(error["loc"]) > 1:
        return _passed_on(error)
    (key,) = error["loc"]
    if format is None and (takers := _takers(str(key))):
        reason = f"it is an option of a format; set `format` ({', '.join(takers)} have it)"
        return _problem(str(key), reason, error["input"])
    # Where `validate` finds the keys that it may suggest.
    unknown = PydanticCustomError("extra_forbidden", "unknown key", {"known": known})
    return InitErrorDetails(type=unknown, loc=(key,), input=error["input"])


def _takers(key: str) -> list[str]:
    """Return the names of the formats that have an option."""
    from mmmodal.records.detection import formats

    return [name for name, each in formats().items() if key in each.Options.model_fields]
