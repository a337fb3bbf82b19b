"""The executor of a Ray cluster: one task for each shard; Ray retries those of a lost worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from mmmodal.authoring.parts import PartError
from mmmodal_datagen.contracts.generator import Shard
from mmmodal_datagen.contracts.outcomes import StopRun
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.shards import Done
from mmmodal_datagen.run.worker import Job, Worker

__all__ = ["RayExecutor"]

WRITERS = 64
"""Files of answers: few enough to read, and many enough that two tasks rarely share one."""

_workers: dict[str, tuple[asyncio.Runner, Worker]] = {}
"""The worker of this process, by pipeline; Ray runs many tasks in one process."""


class RayExecutor:
    """A Ray cluster whose machines share the pipeline's folders."""

    leads = True

    def __init__(self, pipeline: Pipeline) -> None:
        try:
            import ray
        except ImportError:
            raise PartError("Ray is not installed. Run: pip install mmmodal-datagen[ray]") from None
        self._ray = ray
        settings = pipeline.execution
        self._ours = not ray.is_initialized()
        if self._ours:
            ray.init(address=settings.address, log_to_driver=False)
        remote = ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=settings.retries
        )
        self._task: Any = remote(_do)

    def do(
        self,
        job: Job,
        shards: Sequence[Shard],
        missing: Sequence[Shard],
        done: Callable[[Done], None],
    ) -> None:
        """Do the missing shards."""
        waiting = [self._task.remote(job, shard) for shard in missing]
        try:
            while waiting:
                (ready,), waiting = self._ray.wait(waiting, num_returns=1)
                done(self._ray.get(ready))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:500]
            raise StopRun(f"Ray did not finish all shards ({reason}); run again") from None
        finally:
            for reference in waiting:
                self._ray.cancel(reference)

    def close(self) -> None:
        """Shut the cluster down if this executor started it."""
        if self._ours:
            self._ray.shutdown()


def _do(job: Job, shard: Shard) -> Done:
    key = job.pipeline.model_dump_json()
    if key not in _workers:
        writer = f"calls-{shard.index % WRITERS:05d}"
        _workers[key] = (asyncio.Runner(), Worker(job.pipeline, writer=writer, shared=True))
    runner, worker = _workers[key]
    return runner.run(worker.do(job.step, shard, job.run))
