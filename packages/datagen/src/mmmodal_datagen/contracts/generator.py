"""A step of the pipeline: how its work is cut into shards, and what becomes of each row."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mmmodal.config import Config
from mmmodal.errors import ConfigError, MediaError, PartError, PluginError
from mmmodal_datagen.contracts.context import Context, RowContext
from mmmodal_datagen.contracts.outcomes import Failed, Rejected, StopRun
from mmmodal_datagen.rows import Row

__all__ = ["Generator", "Refusal", "Results", "RowGenerator", "Shard", "ShardFile"]


@dataclass(frozen=True)
class ShardFile:
    """A file of rows that an earlier step has finished."""

    step: str
    """Which of the pipeline's steps wrote it, by the name it has there."""

    path: Path
    rows: int
    sha256: str

    def read(self) -> Iterator[Row]:
        """Yield its rows in order."""
        from mmmodal_datagen.rows.tables import read_rows

        return read_rows(self.path)


@dataclass(frozen=True)
class Shard:
    """A piece of a step's work that is done, and published, as a whole."""

    index: int
    inputs: tuple[ShardFile, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What else decides its rows, as JSON values."""

    beside: tuple[ShardFile, ...] = ()
    """Files that decide its rows without being read as a whole: the other rows of a step."""

    def read(self) -> Iterator[Row]:
        """Yield the rows of its inputs in order."""
        for file in self.inputs:
            yield from file.read()


@dataclass(frozen=True)
class Refusal:
    """A row that made no others, and why."""

    row: Row
    reason: str
    detail: str = ""
    again: bool = False
    """Whether the next run tries it again: it failed, and was not rejected."""


@dataclass
class Results:
    """What a shard became; a step that makes rows by the million gives them as a table."""

    rows: Any = field(default_factory=list)
    """A list of `Row`, or a `pyarrow.Table` of them (`mmmodal_datagen.rows.tables`)."""

    rejected: list[Refusal] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """Counts for the summary, added up over shards: `{"unused": 12}`."""

    files: list[Path] = field(default_factory=list)
    """What was written elsewhere; the shard is done again when one of them is gone or changed."""


class Generator(ABC):
    """One step. Most steps look at one row at a time and are `RowGenerator`s."""

    name: ClassVar[str]
    """The key users name it by, and its command: `mmmodal datagen NAME`."""

    version: ClassVar[str] = "1"
    """Change it when the same options make other rows; finished shards are then made again."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The models it calls: `language_model`, `recogniser`, `translator`."""

    uses_splits: ClassVar[bool] = False
    """Whether its rows depend on the splits."""

    Options: ClassVar[type[Config]] = Config
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of options; what a user gives besides goes before."""

    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def identity(self) -> dict[str, Any]:
        """Return what decides its rows, as JSON; leave out what only decides how fast."""
        return self.options.model_dump(mode="json")  # type: ignore[no-any-return]

    def models(self) -> tuple[str, ...]:
        """Return the models it calls: those it `needs`, unless its options decide that."""
        return self.needs

    @abstractmethod
    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Cut the work on `inputs` into shards: always the same ones, in the same order.

        Raises:
            ConfigError: it cannot work on these inputs.
        """

    @abstractmethod
    async def run(self, shard: Shard, context: Context) -> Results:
        """Do one shard. Its results depend on nothing but the shard, options, models and seed."""


class RowGenerator(Generator):
    """A step that makes rows of one row, whatever rows are beside it."""

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Make one shard of every finished shard before it."""
        return [Shard(index, (file,)) for index, file in enumerate(inputs)]

    def rows(self, shard: Shard) -> Iterable[Row]:
        """Return the rows of a shard: those of its inputs, unless a step makes them of several."""
        return shard.read()

    @abstractmethod
    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return what the row becomes: itself `changed`, or any number of `child` rows.

        All calls to models, files and chance go through `context`, which keeps their answers.

        Raises:
            Rejected: the row is no good; it is kept with the reason.
            Failed: it cannot be done now; the next run tries again.
            StopRun: no other row can be done either.
        """

    async def run(self, shard: Shard, context: Context) -> Results:
        """Work on as many rows at once as `context` lets through; results stay in order."""
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
                # A step's own mistake about one row must not cost the others their work.
                if os.environ.get("MMMODAL_DEBUG") == "1":
                    raise
                reason = f"unexpected {type(error).__name__}"
                return Refusal(row, reason, " ".join(str(error).split()), again=True)
