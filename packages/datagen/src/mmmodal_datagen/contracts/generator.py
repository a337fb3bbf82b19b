"""The contract of a step: how it cuts its work into shards, and what a shard returns."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mmmodal.authoring.parts import Config, ConfigError, MediaError, PartError, PluginError
from mmmodal_datagen.contracts.context import Context, RowContext
from mmmodal_datagen.contracts.outcomes import Failed, Rejected, StopRun
from mmmodal_datagen.rows import Row

__all__ = ["Generator", "Refusal", "Results", "RowGenerator", "Shard", "ShardFile"]


@dataclass(frozen=True)
class ShardFile:
    """A file of rows of a finished shard."""

    step: str
    """The pipeline's name of the step that wrote it."""

    path: Path
    rows: int
    sha256: str

    def read(self) -> Iterator[Row]:
        """Yield its rows in order."""
        from mmmodal_datagen.rows.tables import read_rows

        return read_rows(self.path)


@dataclass(frozen=True)
class Shard:
    """A part of a step's work that is done and published as a whole."""

    index: int
    inputs: tuple[ShardFile, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What else its rows depend on, as JSON values."""

    beside: tuple[ShardFile, ...] = ()
    """Files that its rows depend on besides `inputs`: the other rows of a step."""

    def read(self) -> Iterator[Row]:
        """Yield the rows of its inputs in order."""
        for file in self.inputs:
            yield from file.read()


@dataclass(frozen=True)
class Refusal:
    """A rejected or failed row, and the reason."""

    row: Row
    reason: str
    detail: str = ""
    again: bool = False
    """Whether the next run tries it again: true for a failed row, false for a rejected one."""


@dataclass
class Results:
    """The results of a shard."""

    rows: Any = field(default_factory=list)
    """A list of `Row`; for millions of rows a `pyarrow.Table` (`mmmodal_datagen.rows.tables`)."""

    rejected: list[Refusal] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """Counts for the summary, summed over shards: `{"unused": 12}`."""

    files: list[Path] = field(default_factory=list)
    """Files written elsewhere; the shard is done again if one is missing or changed."""


class Generator(ABC):
    """One step. A step that works on one row at a time is a `RowGenerator`."""

    name: ClassVar[str]
    """The name in pipelines, and of the command `mmmodal datagen NAME`."""

    version: ClassVar[str] = "1"
    """To be changed when equal options make other rows; finished shards are then done again."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The models it calls: `language_model`, `recogniser`, `translator`."""

    uses_splits: ClassVar[bool] = False
    """Whether its rows depend on the splits."""

    Options: ClassVar[type[Config]] = Config
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of options; options that a user gives override them."""

    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, the options that its rows depend on; leave out those for speed only."""
        return self.options.model_dump(mode="json")  # type: ignore[no-any-return]

    def models(self) -> tuple[str, ...]:
        """Return the kinds of models it calls: `needs`, unless its options decide otherwise."""
        return self.needs

    @abstractmethod
    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Return the shards of the work on `inputs`: always the same ones, in the same order.

        Raises:
            ConfigError: it cannot work on these inputs.
        """

    @abstractmethod
    async def run(self, shard: Shard, context: Context) -> Results:
        """Return the results of a shard; they depend only on shard, options, models and seed."""


class RowGenerator(Generator):
    """A step that works on each row independently of all others."""

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Return one shard for each file of the inputs."""
        return [Shard(index, (file,)) for index, file in enumerate(inputs)]

    def rows(self, shard: Shard) -> Iterable[Row]:
        """Return the rows of a shard: those of its inputs, unless a step combines several."""
        return shard.read()

    @abstractmethod
    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the row itself, `changed`, or any number of `child` rows.

        Models, files and chance are used only through `context`, which keeps the answers.

        Raises:
            Rejected: the row cannot be used; it is kept with the reason.
            Failed: it cannot be processed now; the next run tries it again.
            StopRun: no other row can be processed either.
        """

    async def run(self, shard: Shard, context: Context) -> Results:
        """Work on as many rows at once as `context` admits, and return the results in order."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(row, context)) for row in self.rows(shard)]
        results = Results(rows=[])
        for task in tasks:
            outcome = task.result()
            if isinstance(outcome, Refusal):
                (results.failed if outcome.again else results.rejected).append(outcome)
            else:
                results.rows.extend(outcome)
        return results

    async def _outcome(self, row: Row, context: Context) -> list[Row] | Refusal:
        async with context.working():
            one = context.for_row(row)
            try:
                return one.finish(await self.make(row, one))
            except Rejected as error:
                return Refusal(one.signed(error.row or row), error.reason, error.detail)
            except Failed as error:
                return Refusal(row, error.reason, error.detail, again=True)
            except MediaError as error:
                return Refusal(row, f"unreadable medium ({error.code})", str(error), again=True)
            except (StopRun, ConfigError, PartError, PluginError):
                raise
            except Exception as error:
                # A defect of a step in one row must not lose the work on the others.
                if os.environ.get("MMMODAL_DEBUG") == "1":
                    raise
                reason = f"unexpected {type(error).__name__}"
                return Refusal(row, reason, " ".join(str(error).split()), again=True)
