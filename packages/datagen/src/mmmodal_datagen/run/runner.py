"""The run of a pipeline: step by step; shards whose files are finished are not done again."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmmodal.authoring.files import remove_unfinished
from mmmodal_datagen.contracts.generator import Shard, ShardFile
from mmmodal_datagen.contracts.outcomes import StopRun
from mmmodal_datagen.files import publish_bytes, stopping
from mmmodal_datagen.fingerprints import canonical
from mmmodal_datagen.outputs import SUMMARY
from mmmodal_datagen.pipeline import Pipeline, PlannedStep, resolve
from mmmodal_datagen.replay.models import Meter, Models
from mmmodal_datagen.run.context import StepContext
from mmmodal_datagen.run.executors.executor import Executor, executor
from mmmodal_datagen.run.shards import Done, StepFolder
from mmmodal_datagen.run.usage import added
from mmmodal_datagen.run.worker import Job, step_folder

__all__ = ["StepOutcome", "run_pipeline"]

RUN_NAMES = ("MMMODAL_RUN", "TORCHELASTIC_RUN_ID", "SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID")
"""Environment variables that hold a name shared by all processes of a run."""


LINES_S = 30.0
"""Seconds between lines of progress where standard error is no terminal."""


@dataclass(frozen=True)
class StepOutcome:
    """The outcome of one step."""

    step: str
    folder: Path
    """The folder of its rows, named after the fingerprint."""

    files: tuple[ShardFile, ...]
    rows: int
    rejected: int
    failed: int
    reasons: Mapping[str, int]
    """Counts of rejected and failed rows by reason."""

    notes: Mapping[str, Any] = field(default_factory=dict)
    usage: Sequence[Mapping[str, Any]] = ()
    """Calls, input and output tokens, by model."""

    done: int = 0
    """Shards that this run did; the others were finished before."""

    seconds: float = 0.0


def run_pipeline(pipeline: Pipeline) -> list[StepOutcome]:
    """Run every step of a pipeline, and return the outcomes.

    After an interruption, run it again: finished shards in `out` are kept, failed rows are tried
    again, and the result equals that of an uninterrupted run.

    Raises:
        ConfigError: the pipeline is not valid.
        StopRun: the run cannot continue; finished shards are kept.
    """
    steps = resolve(pipeline)
    run = next((os.environ[name] for name in RUN_NAMES if os.environ.get(name)), uuid.uuid4().hex)
    files: dict[str, tuple[ShardFile, ...]] = {}
    outcomes = []
    doing = executor(pipeline)
    try:
        for step in steps:
            inputs = [file for source in step.inputs for file in files[source]]
            outcome = _run_step(pipeline, step, inputs, doing, run)
            files[step.name] = outcome.files
            outcomes.append(outcome)
            if doing.leads:
                _note(pipeline, outcomes, steps[len(outcomes) :])
        if doing.leads:
            for folder in (pipeline.out, *pipeline.out.glob("media/*")):
                remove_unfinished(folder)
    finally:
        doing.close()
    return outcomes


def _run_step(
    pipeline: Pipeline, step: PlannedStep, inputs: list[ShardFile], doing: Executor, run: str
) -> StepOutcome:
    begun = time.monotonic()
    folder = step_folder(pipeline, step)
    with stopping(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    shards = step.generator.plan(inputs, StepContext.build(pipeline, step, Models.none()))
    before = {shard.index: folder.done(shard, run) for shard in shards}
    missing = [shard for shard in shards if before[shard.index] is None]
    if missing:
        meter = getattr(doing, "meter", None)
        progress = _Progress(step.name, len(shards), len(shards) - len(missing), meter)
        try:
            doing.do(Job(pipeline, step.name, run), shards, missing, progress.done)
        finally:
            progress.close()
    finished = [before[shard.index] or _found(folder.done(shard, run), shard) for shard in shards]
    if doing.leads:
        folder.tidy(shards)
    return _outcome(folder, finished, len(missing), time.monotonic() - begun)


def _found(done: Done | None, shard: Shard) -> Done:
    if done is None:
        raise StopRun(f"shard {shard.index} was done but is missing or changed; run again")
    return done


def _outcome(folder: StepFolder, finished: list[Done], done: int, seconds: float) -> StepOutcome:
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for each in finished:
        reasons.update(each.reasons)
        notes.update(each.notes)
    return StepOutcome(
        step=folder.step,
        folder=folder.path,
        files=tuple(map(folder.file, finished)),
        rows=sum(each.rows for each in finished),
        rejected=sum(each.rejected for each in finished),
        failed=sum(each.failed for each in finished),
        reasons=dict(sorted(reasons.items())),
        notes=dict(sorted(notes.items())),
        usage=added(each.usage for each in finished),
        done=done,
        seconds=seconds,
    )


def _note(pipeline: Pipeline, outcomes: list[StepOutcome], left: list[PlannedStep]) -> None:
    """Write the summary: folders and counts, independent of interruptions.

    For the steps that are left it has only the names.
    """
    out = pipeline.out
    keep = ("step", "rows", "rejected", "failed", "reasons", "notes")
    rows = [{name: getattr(outcome, name) for name in keep} for outcome in outcomes]
    for row, outcome in zip(rows, outcomes, strict=True):
        row["folder"] = outcome.folder.relative_to(out).as_posix()
        row["root"] = os.path.relpath(pipeline.root.resolve(), out.resolve())
    rows += [{"step": step.name} for step in left]
    publish_bytes(canonical(rows) + b"\n", out / SUMMARY)


class _Progress:
    """The progress line of one step on standard error: shards, and counts of rows so far."""

    def __init__(self, step: str, shards: int, finished: int, meter: Meter | None) -> None:
        self._meter = meter
        self._rows = self._rejected = self._failed = 0
        self._begun = time.monotonic()
        live = sys.stderr.isatty()
        self._bar: Any = tqdm(
            desc=step,
            total=shards,
            initial=finished,
            unit="shard",
            mininterval=0.1 if live else LINES_S,
            dynamic_ncols=live,
            file=sys.stderr,
            leave=True,
        )

    def done(self, done: Done) -> None:
        """Count a finished shard."""
        self._rows += done.rows
        self._rejected += done.rejected
        self._failed += done.failed
        worked = self._rows + self._rejected + self._failed
        counts: dict[str, Any] = {
            "rows": self._rows,
            "rejected": self._rejected,
            "failed": self._failed,
            "rows/s": f"{worked / max(time.monotonic() - self._begun, 1e-3):.1f}",
        }
        if self._meter is not None and self._meter.calls + self._meter.replayed:
            counts["asked"] = self._meter.calls
            counts["replayed"] = self._meter.replayed
            counts["tokens"] = self._meter.input_tokens + self._meter.output_tokens
            if self._meter.cost:
                counts["cost"] = f"{self._meter.cost:.2f}"
        self._bar.set_postfix(counts, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Close the line."""
        self._bar.close()
