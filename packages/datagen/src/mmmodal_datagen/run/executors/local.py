"""The executor of one process: all shards on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mmmodal_datagen.contracts.generator import Shard
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.shards import Done
from mmmodal_datagen.run.worker import Job, Worker

__all__ = ["LocalExecutor"]


class LocalExecutor:
    """One process: enough for an endpoint, and for a local model, which takes all cores."""

    leads = True

    def __init__(self, pipeline: Pipeline, *, writer: str = "calls", shared: bool = False) -> None:
        self._runner = asyncio.Runner()
        self._worker = Worker(pipeline, writer=writer, shared=shared)

    @property
    def meter(self) -> object:
        """The counts of calls so far."""
        return self._worker.meter

    def do(
        self,
        job: Job,
        shards: Sequence[Shard],
        missing: Sequence[Shard],
        done: Callable[[Done], None],
    ) -> None:
        """Do the missing shards."""
        self._runner.run(self._worker.do_all(job.step, missing, job.run, done))

    def close(self) -> None:
        """Close the models."""
        self._runner.run(self._worker.aclose())
        self._runner.close()
