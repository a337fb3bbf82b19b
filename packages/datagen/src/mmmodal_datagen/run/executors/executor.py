"""Where shards run: on this machine, on many that share a folder, or on a Ray cluster."""

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
    """One way to have shards done."""

    leads: bool
    """Whether this process tidies up and tells of the results; one of all does."""

    def do(
        self,
        job: Job,
        shards: Sequence[Shard],
        missing: Sequence[Shard],
        done: Callable[[Done], None],
    ) -> None:
        """Return when all of `shards` are finished, of which `missing` were not at first.

        Args:
            job: the step.
            shards: all shards of the step.
            missing: those that are to be done.
            done: is told of each shard that this call finished or saw finished.

        Raises:
            StopRun: it cannot go on.
        """

    def close(self) -> None:
        """Stop its processes."""


def leads(pipeline: Pipeline) -> bool:
    """Tell whether this process is the one of all that tells of the results.

    Raises:
        ConfigError: the environment does not say.
    """
    from mmmodal_datagen.run.executors.rank import place_of

    return pipeline.execution.kind != "rank" or place_of(os.environ)[0] == 0


def executor(pipeline: Pipeline) -> Executor:
    """Return the executor a pipeline names.

    Raises:
        PartError: it needs a package that is not installed.
        ConfigError: the environment lacks what it needs.
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
