"""The executor of ranks: each process of torchrun or a SLURM array does a share of the shards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

from mmmodal.authoring.parts import ConfigError
from mmmodal_datagen.contracts.generator import Shard
from mmmodal_datagen.contracts.outcomes import StopRun
from mmmodal_datagen.pipeline import Pipeline, resolve
from mmmodal_datagen.run.executors.local import LocalExecutor
from mmmodal_datagen.run.shards import Done
from mmmodal_datagen.run.worker import Job, step_folder

__all__ = ["RankExecutor", "place_of"]

POLL_S = 1.0
SOURCES = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


def place_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the rank of this process and the number of processes.

    Raises:
        ConfigError: the environment does not name them.
    """
    for rank, world in SOURCES:
        if rank in environment and world in environment:
            first = int(environment.get("SLURM_ARRAY_TASK_MIN", 0)) if "ARRAY" in rank else 0
            return int(environment[rank]) - first, int(environment[world])
    names = " or ".join(f"{rank} and {world}" for rank, world in SOURCES)
    raise ConfigError("pipeline", [f"'execution.kind' is rank, which needs {names} to be set"])


class RankExecutor:
    """Each process does every n-th shard, and waits for the files of the others.

    Processes share only the folder; their number may change between runs.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._rank, self._world = place_of(os.environ)
        self.leads = self._rank == 0
        self._pipeline = pipeline
        self._local = LocalExecutor(pipeline, writer=f"calls-{self._rank:05d}", shared=True)

    def do(
        self,
        job: Job,
        shards: Sequence[Shard],
        missing: Sequence[Shard],
        done: Callable[[Done], None],
    ) -> None:
        """Do the share of this process, then wait for the others."""
        mine = [shard for shard in missing if shard.index % self._world == self._rank]
        self._local.do(job, shards, mine, done)
        step = {step.name: step for step in resolve(self._pipeline)}[job.step]
        folder = step_folder(self._pipeline, step)
        waiting = {shard.index: shard for shard in missing if shard not in mine}
        deadline = time.monotonic() + self._pipeline.execution.patience_s
        while waiting:
            for index, shard in list(waiting.items()):
                if (found := folder.done(shard, job.run)) is not None:
                    done(found)
                    del waiting[index]
            if waiting and time.monotonic() > deadline:
                reason = f"{len(waiting)} shards of other processes did not appear"
                raise StopRun(f"{folder.path}: {reason}; run again to continue")
            if waiting:
                time.sleep(POLL_S)

    def close(self) -> None:
        """Close the models."""
        self._local.close()
