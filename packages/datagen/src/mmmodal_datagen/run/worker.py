"""The worker of one process: it holds models and store, does shards and publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmmodal_datagen.contracts.generator import Results, Shard
from mmmodal_datagen.pipeline import Pipeline, PlannedStep, build_backend, resolve
from mmmodal_datagen.replay.models import Meter, Models
from mmmodal_datagen.replay.store import ReplayStore
from mmmodal_datagen.run.context import StepContext
from mmmodal_datagen.run.shards import Done, StepFolder

__all__ = ["Job", "Worker", "step_folder"]


@dataclass(frozen=True)
class Job:
    """What a process needs to do shards of one step; it can be pickled."""

    pipeline: Pipeline
    step: str
    run: str
    """The name of the run, shared by all its processes."""


def step_folder(pipeline: Pipeline, step: PlannedStep) -> StepFolder:
    """Return the folder of a step's shards."""
    return StepFolder(step.name, pipeline.out / "steps" / step.name / step.fingerprint)


class Worker:
    """The models, store and contexts of one process, on one event loop."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        writer: str = "calls",
        shared: bool = False,
        concurrency: int | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.steps = {step.name: step for step in resolve(pipeline)}
        self.meter = Meter()
        self._concurrency = concurrency or pipeline.concurrency
        self._store = ReplayStore(pipeline.out / "calls", writer=writer, shared=shared)
        self._backends: dict[str, Any] = {}
        self._contexts: dict[str, StepContext] = {}

    def context(self, step: str) -> StepContext:
        """Return the context of a step; it is built once."""
        if step not in self._contexts:
            planned = self.steps[step]
            models = {kind: self._backend(name) for kind, name in planned.models.items()}
            self._contexts[step] = StepContext.build(
                self.pipeline,
                planned,
                Models(self._store, meter=self.meter, **models),
                self._concurrency,
            )
        return self._contexts[step]

    async def do(self, step: str, shard: Shard, run: str) -> Done:
        """Do one shard, publish its results, and return the sidecar.

        Raises:
            StopRun: the run cannot continue.
        """
        planned = self.steps[step]
        try:
            results: Results = await planned.generator.run(shard, self.context(step))
        except BaseExceptionGroup as group:
            raise _first(group) from None
        return step_folder(self.pipeline, planned).publish(shard, results, run)

    async def do_all(self, step: str, shards: Sequence[Shard], run: str, done: Any) -> None:
        """Do shards, as many at once as fill all slots for rows; call `done` for each."""
        at_once = asyncio.Semaphore(1 + -(-self._concurrency // self.pipeline.shard_rows))

        async def one(shard: Shard) -> None:
            async with at_once:
                done(await self.do(step, shard, run))

        try:
            async with asyncio.TaskGroup() as group:
                for shard in shards:
                    group.create_task(one(shard))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def aclose(self) -> None:
        """Close the models and the store."""
        for backend in self._backends.values():
            await backend.aclose()
        self._store.close()

    def _backend(self, name: str) -> Any:
        if name not in self._backends:
            self._backends[name] = build_backend(self.pipeline.backends[name])
        return self._backends[name]


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the first error of a group; each of them ends the run."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
