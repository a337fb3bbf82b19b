"""Run one stage: a model folder and records in, a trained model folder out."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.adapters.folder import ADAPTER_CONFIG
from mmmodal.ranks import rank, wait
from mmmodal.train.loop.feed import feed
from mmmodal.train.recipe import Recipe
from mmmodal.train.run.disk import naming_full_disk
from mmmodal.train.run.folder import (
    METRICS,
    RUN,
    as_begun,
    begin_run,
    clear_finished,
    find_run,
    moving_in,
)
from mmmodal.train.run.journal import Journal, cut_journals
from mmmodal.train.run.report import report_stage
from mmmodal.train.run.reporters import check_reporters, reporters
from mmmodal.train.stage.inputs import Inputs, open_inputs

if TYPE_CHECKING:
    from transformers import TrainerState

    from mmmodal.samples.feature_cache.store import FeatureStore
    from mmmodal.train.loop.bad_samples import Skipped
    from mmmodal.train.run.checkpoints import Checkpoint, Checkpoints
    from mmmodal.train.stage.start import Start

__all__ = ["Outcome", "cache_features", "run_stage"]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    finished: bool
    steps: int
    loss: float | None
    seconds: float
    out: Path
    trained: dict[str, int]
    """How many parameters of which part trained."""

    interrupted_by: str | None = None
    skipped_rows: int = 0
    """How many bad rows were left out."""


def run_stage(recipe: Recipe, *, fresh: bool = False) -> Outcome:
    """Train one stage, going on from its last checkpoint if there is one.

    Args:
        recipe: what to do.
        fresh: forget an interrupted run and begin anew.

    Raises:
        MMModalError: `out` is finished, or was begun with another recipe.
    """
    from mmmodal.train.loop.callbacks import EpochCount, Interruption, MetricsFile, ProgressBar
    from mmmodal.train.loop.trainable import trained_counts
    from mmmodal.train.loop.trainer import StageTrainer
    from mmmodal.train.loop.workers import naming_lost_processes

    clear_finished(recipe.out)
    run = find_run(recipe, fresh)
    check_reporters(recipe.report_to)
    recipe = as_begun(recipe, run, fresh)
    inputs = open_inputs(recipe, run)
    begin_run(recipe, run, fresh, len(inputs.dataset))
    wait()  # nobody looks for checkpoints that are being removed
    data = feed(recipe, inputs.dataset, run, inputs.arguments, inputs.on_error)
    checkpoints, newest, skipped = _take_up(recipe, run, inputs)
    counts = trained_counts(inputs.model)
    _tell(counts)
    bar, metrics = ProgressBar(), MetricsFile(run / METRICS)
    reports = reporters(recipe.report_to, run)
    with naming_lost_processes(), Interruption() as interruption, contextlib.closing(bar):
        trainer = StageTrainer(
            recipe=recipe,
            run=run,
            model=inputs.model,
            args=inputs.arguments,
            feed=data,
            checkpoints=checkpoints,
            skipped=skipped,
            callbacks=[*inputs.checks, EpochCount(data.plan), bar, metrics, interruption, *reports],
        )
        trainer.train(resume_from_checkpoint=str(newest.folder) if newest else None)
    wait()  # all ranks have noted the rows they skipped
    if interruption.signal is None:
        _name_skipped(skipped, run, trainer.state.global_step)
        _write_result(trainer, recipe, run, inputs.start)
        report_stage(recipe, run, data.mixture, counts)
    return _outcome(recipe, trainer.state, counts, interruption.signal, len(skipped.all()))


def cache_features(recipe: Recipe) -> dict[str, FeatureStore]:
    """Fill a recipe's feature cache and train nothing; return the features of each modality.

    Raises:
        MMModalError: the features do not fit, or whatever keeps the recipe from being run.
    """
    inputs = open_inputs(recipe, recipe.out / RUN)
    for error in inputs.bad_rows:
        print(f"Skipped {error}", file=sys.stderr)
    return inputs.stores


def _take_up(
    recipe: Recipe, run: Path, inputs: Inputs
) -> tuple[Checkpoints, Checkpoint | None, Skipped]:
    """Find where the run goes on, and cut what it noted after that."""
    from mmmodal.train.loop.bad_samples import Skipped
    from mmmodal.train.run.checkpoints import Checkpoints

    folder, deepspeed = run / "checkpoints", bool(inputs.arguments.deepspeed)
    checkpoints = Checkpoints(folder, keep=recipe.keep_checkpoints, deepspeed=deepspeed)
    newest = checkpoints.newest()
    skipped = Skipped(recipe.on_bad_sample, run, rank())
    if rank() == 0:
        cut_journals(run, newest.step if newest else 0)
        skipped.note_once(inputs.bad_rows)
    wait()  # nobody notes rows that are cut
    return checkpoints, newest, skipped


def _tell(counts: Mapping[str, int]) -> None:
    """Say on stderr what trains."""
    if rank() == 0:
        parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        print(f"Training {sum(counts.values()):,} parameters: {parts}", file=sys.stderr)


def _outcome(
    recipe: Recipe, state: TrainerState, counts: dict[str, int], told: int | None, skipped: int
) -> Outcome:
    """Sum up a training that ended, or was `told` to by a signal."""
    logs = state.log_history[::-1]  # the newest first
    return Outcome(
        told is None,
        state.global_step,
        next((float(row["loss"]) for row in logs if "loss" in row), None),
        next((float(row["train_runtime"]) for row in logs if "train_runtime" in row), 0.0),
        recipe.out,
        counts,
        signal.Signals(told).name if told is not None else None,
        skipped,
    )


def _name_skipped(skipped: Skipped, run: Path, step: int) -> None:
    """Name the rows that were left out, on stderr and in the metrics."""
    rows = skipped.all()
    if rank() == 0 and rows:
        skipped.tell()
        Journal(run / METRICS).note(step, {"skipped_rows": len(rows), "skipped": rows})


def _write_result(trainer: Any, recipe: Recipe, run: Path, start: Start) -> None:
    """Write the result beside `run`, a whole model or the adapter alone; remove the checkpoints.

    Raises:
        CheckpointError: the disk is full.
    """
    from mmmodal.train.loop.trainable import read_trained

    last = run / "trained"
    with naming_full_disk("the trained model", recipe.out):
        trainer.save_model(str(last))
        if rank() == 0:
            trained = read_trained(last)
            if recipe.train.lora is not None:
                model = trainer.accelerator.unwrap_model(trainer.model)
                with moving_in(recipe.out, ADAPTER_CONFIG) as folder:
                    start.write_adapter(folder, model, recipe.train.lora, trained)
            else:
                with moving_in(recipe.out, "config.json") as folder:
                    _write_whole(folder, recipe, trained)
            shutil.rmtree(last)
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
        trainer.accelerator.wait_for_everyone()


def _write_whole(folder: Path, recipe: Recipe, trained: Mapping[str, Any]) -> None:
    """Write the input's weights, bitwise, with what was trained put in."""
    from mmmodal.making.loading import load
    from mmmodal.model.zero3 import whole_weights
    from mmmodal.train.loop.trainable import add_trained

    with whole_weights():
        whole = load(recipe.model, device="cpu")
    add_trained(whole, trained)
    whole.save_pretrained(folder)
    whole.processor.save_pretrained(folder)
