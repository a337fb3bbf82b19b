"""The contract of executors, and the one that a pipeline names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from mmmodal_datagen.contracts.generator import Shard
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.shards import Done
from mmmodal_datagen.run.worker import Job

__all__ = ["Executor", "executor", "leads"]


class Executor(Protocol):
    """One way to run shards."""

    leads: bool
    """Whether this process removes old files and writes the summary; exactly one process does."""

    def do(
        self,
        job: Job,
        shards: Sequence[Shard],
        missing: Sequence[Shard],
        done: Callable[[Done], None],
    ) -> None:
        """Return when all of `shards` are finished; `missing` are those that are not yet.

        Args:
            job: the step.
            shards: all shards of the step.
            missing: those that are not finished.
            done: is called for each shard that becomes finished.

        Raises:
            StopRun: the run cannot continue.
        """

    def close(self) -> None:
        """Stop the processes, and close the models."""


def leads(pipeline: Pipeline) -> bool:
    """Return whether this process is the one that writes the report.

    Raises:
        ConfigError: the environment does not name the rank.
    """
    from mmmodal_datagen.run.executors.rank import place_of

    return pipeline.execution.kind != "rank" or place_of(os.environ)[0] == 0


def executor(pipeline: Pipeline) -> Executor:
    """Return the executor that a pipeline names.

    Raises:
        PartError: it needs a package that is not installed.
        ConfigError: the environment lacks a variable that it needs.
    """
    kind = pipeline.execution.kind
    if kind == "rank":
        from mmmodal_datagen.run.executors.rank import RankExecutor

        return RankExecutor(pipeline)
    if kind == "ray":
        from mmmodal_datagen.run.executors.ray import RayExecutor

        return RayExecutor(pipeline)
    if pipeline.execution.processes > 1:
        from mmmodal_datagen.run.executors.processes import ProcessExecutor

        return ProcessExecutor(pipeline)
    from mmmodal_datagen.run.executors.local import LocalExecutor

    return LocalExecutor(pipeline)
