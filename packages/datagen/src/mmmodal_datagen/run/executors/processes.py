"""The executor of several processes of this machine; the shard of a dead one is retried."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from mmmodal_datagen.contracts.generator import Shard
from mmmodal_datagen.contracts.outcomes import StopRun
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.shards import Done
from mmmodal_datagen.run.worker import Job, Worker

__all__ = ["ProcessExecutor"]

_own: tuple[asyncio.Runner, Worker] | None = None
"""The worker of this process, if it belongs to a pool."""


class ProcessExecutor:
    """A pool of processes, each with its own models."""

    leads = True

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._pool = self._started()

    def do(
        self,
        job: Job,
        shards: Sequence[Shard],
        missing: Sequence[Shard],
        done: Callable[[Done], None],
    ) -> None:
        """Do the missing shards; those of a dead process are retried."""
        left = {shard.index: shard for shard in missing}
        tries: Counter[int] = Counter()
        while left:
            running = {self._pool.submit(_do, job, shard): shard for shard in left.values()}
            tries.update(list(left))
            try:
                for future in as_completed(running):
                    done(future.result())
                    del left[running[future].index]
            except BrokenProcessPool:
                self._pool = self._started()
                self._check(left, tries)
            except BaseException:
                _cancel(running)
                raise

    def close(self) -> None:
        """Stop the processes."""
        self._pool.shutdown(cancel_futures=True)

    def _check(self, left: dict[int, Shard], tries: Counter[int]) -> None:
        worst = max(left, key=tries.__getitem__)
        if tries[worst] > self._pipeline.execution.retries:
            reason = f"a process died {tries[worst]} times; it may lack memory"
            raise StopRun(f"shards {sorted(left)[:10]} could not be done: {reason}")

    def _started(self) -> ProcessPoolExecutor:
        number = self._pipeline.execution.processes
        concurrency = max(1, self._pipeline.concurrency // number)
        # Not forked: threads and models of this process would not work in the child.
        context = multiprocessing.get_context("spawn")
        arguments = (self._pipeline, concurrency)
        return ProcessPoolExecutor(number, context, initializer=_begin, initargs=arguments)


def _begin(pipeline: Pipeline, concurrency: int) -> None:
    global _own  # noqa: PLW0603 - a pool's process keeps its models between shards
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _own = (asyncio.Runner(), Worker(pipeline, concurrency=concurrency))


def _do(job: Job, shard: Shard) -> Done:
    assert _own is not None, "the pool calls `_begin` first"
    runner, worker = _own
    return runner.run(worker.do(job.step, shard, job.run))


def _leave_with_parent() -> None:
    """End this process when its parent was killed; otherwise it would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cancel(futures: dict[Future[Done], Shard]) -> None:
    for future in futures:
        future.cancel()
