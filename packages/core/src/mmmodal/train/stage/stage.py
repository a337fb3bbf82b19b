"""Run one stage: train a model folder on records, and write a trained model folder."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.adapters.folder import ADAPTER_CONFIG
from mmmodal.ranks import rank, wait
from mmmodal.samples.dataset import PreparedDataset
from mmmodal.train.loop.feed import Feed, planned_feed
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
from mmmodal.train.run.revisions import pinned
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
    """The result of a stage."""

    finished: bool
    steps: int
    loss: float | None
    seconds: float
    out: Path
    trained: dict[str, int]
    """The number of trained parameters of each part."""

    interrupted_by: str | None = None
    skipped_rows: int = 0
    """The number of bad rows, which were left out."""

    best_step: int | None = None
    """The step whose weights were written by `keep_best`."""

    evaluation: Mapping[str, float | None] = field(default_factory=dict)
    """The figures of the weights that were written: `eval_loss` and those of evaluators; None: not
    finite."""


def run_stage(recipe: Recipe, *, fresh: bool = False) -> Outcome:
    """Train one stage, from its last checkpoint if there is one; return the outcome.

    Args:
        recipe: the recipe.
        fresh: whether to discard an interrupted run and start again.

    Raises:
        MMModalError: `out` is finished, was begun with another recipe, or training failed.
    """
    from mmmodal.train.loop.callbacks import (
        EpochCount,
        Interruption,
        MetricsFile,
        ProgressBar,
        Schedule,
    )
    from mmmodal.train.loop.gradients import GradientWatch
    from mmmodal.train.loop.trainable import random_and_frozen, trained_counts
    from mmmodal.train.loop.trainer import StageTrainer
    from mmmodal.train.loop.workers import naming_lost_processes

    clear_finished(recipe.out)
    recipe = pinned(recipe, fresh)
    run = find_run(recipe, fresh)
    check_reporters(recipe.report_to)
    recipe = as_begun(recipe, run, fresh)
    inputs = open_inputs(recipe, run)
    begin_run(recipe, run, fresh, inputs.dataset.extent, _evaluated(inputs))
    wait()  # no rank may search for checkpoints while they are being removed
    data = _feed(recipe, run, inputs)
    checkpoints, newest, skipped = _take_up(recipe, run, inputs)
    if newest is not None:
        data.restore(newest.folder)
    counts = trained_counts(inputs.model)
    _print_counts(counts, random_and_frozen(inputs.model))
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
            evaluation=inputs.evaluation,
            callbacks=[
                *(*inputs.checks, GradientWatch(inputs.model), EpochCount(data)),
                *(Schedule(each) for each in (inputs.evaluation,) if each is not None),
                *(bar, metrics, interruption, *reports),
            ],
        )
        trainer.train(resume_from_checkpoint=str(newest.folder) if newest else None)
    wait()  # all ranks have recorded the rows they skipped
    best: int | None = None
    if interruption.signal is None:
        trainer.check_applied(newest.folder if newest else None)
        _name_skipped(skipped, run, trainer.state.global_step)
        last = trainer.state.global_step
        found, kept = trainer.best.settle(last)
        best = found.step if found is not None else None
        _write_result(trainer, recipe, run, inputs.start, kept)
        trainer.best.tell(found, last)
        report_stage(recipe, run, data.counts(), counts, best)
    return _outcome(recipe, trainer.state, counts, interruption.signal, len(skipped.all()), best)


def _evaluated(inputs: Inputs) -> list[str]:
    """Return the rows drawn for evaluations."""
    held_out = inputs.evaluation.held_out if inputs.evaluation is not None else ()
    return [row.where for row in held_out]


def _feed(recipe: Recipe, run: Path, inputs: Inputs) -> Feed:
    """Return the feed of indexed data or of streamed data."""
    dataset = inputs.dataset
    if isinstance(dataset, PreparedDataset):
        return planned_feed(recipe, dataset, run, inputs.arguments, inputs.on_error)
    from mmmodal.train.loop.stream_feed import streamed_feed

    return streamed_feed(recipe, dataset, inputs.arguments)


def cache_features(recipe: Recipe) -> dict[str, FeatureStore]:
    """Fill a recipe's feature cache without training; return the store of each modality.

    Raises:
        MMModalError: the features do not fit, or the recipe cannot be run.
    """
    inputs = open_inputs(recipe, recipe.out / RUN)
    for error in inputs.bad_rows:
        print(f"Skipped {error}", file=sys.stderr)
    return inputs.stores


def _take_up(
    recipe: Recipe, run: Path, inputs: Inputs
) -> tuple[Checkpoints, Checkpoint | None, Skipped]:
    """Return the checkpoint from which the run resumes; remove rows of journals after it."""
    from mmmodal.train.loop.bad_samples import Skipped
    from mmmodal.train.run.checkpoints import Checkpoints

    folder, deepspeed = run / "checkpoints", bool(inputs.arguments.deepspeed)
    checkpoints = Checkpoints(folder, keep=recipe.keep_checkpoints, deepspeed=deepspeed)
    newest = checkpoints.newest()
    skipped = Skipped(recipe.on_bad_sample, run, rank())
    if rank() == 0:
        cut_journals(run, newest.step if newest else 0)
        skipped.note_once(inputs.bad_rows)
    wait()  # no rank may write to journals before they are cut
    return checkpoints, newest, skipped


def _print_counts(counts: Mapping[str, int], notes: Iterable[str]) -> None:
    """Print the trained parts and notes on stderr."""
    if rank() == 0:
        parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        print(f"Training {sum(counts.values()):,} parameters: {parts}", file=sys.stderr)
        for note in notes:
            print(f"Warning: {note}", file=sys.stderr)


def _outcome(
    recipe: Recipe,
    state: TrainerState,
    counts: dict[str, int],
    signal_: int | None,
    skipped: int,
    best: int | None,
) -> Outcome:
    """Return the outcome of a training; `signal_` is the signal that interrupted it."""
    logs = state.log_history[::-1]  # newest first
    step = state.global_step if best is None else best
    return Outcome(
        signal_ is None,
        state.global_step,
        next((float(row["loss"]) for row in logs if "loss" in row), None),
        next((float(row["train_runtime"]) for row in logs if "train_runtime" in row), 0.0),
        recipe.out,
        counts,
        signal.Signals(signal_).name if signal_ is not None else None,
        skipped,
        best,
        next((_figures(row) for row in logs if "eval_loss" in row and row["step"] == step), {}),
    )


def _figures(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of an evaluation."""
    names = [name for name in row if name.startswith("eval_") and name != "eval_seconds"]
    return {name: row[name] if math.isfinite(row[name]) else None for name in names}


def _name_skipped(skipped: Skipped, run: Path, step: int) -> None:
    """Report the rows that were left out, on stderr and in the metrics."""
    rows = skipped.all()
    if rank() == 0 and rows:
        skipped.print_summary()
        Journal(run / METRICS).note(step, {"skipped_rows": len(rows), "skipped": rows})


def _write_result(
    trainer: Any, recipe: Recipe, run: Path, start: Start, kept: Checkpoint | None
) -> None:
    """Write the result, a whole model or only the adapter, and remove the checkpoints.

    Its weights are those of a checkpoint, or without one the last.

    Raises:
        CheckpointError: the disk is full.
    """
    from mmmodal.train.loop.trainable import read_trained

    last = run / "trained"
    with naming_full_disk("the trained model", recipe.out):
        trainer.save_model(str(last))
        if rank() == 0:
            trained = read_trained(last if kept is None else kept.folder)
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
    """Write the input's weights bitwise, with the trained weights replaced."""
    from mmmodal.making.loading import load
    from mmmodal.model.zero3 import whole_weights
    from mmmodal.train.loop.trainable import add_trained

    with whole_weights():
        whole = load(recipe.model, device="cpu")
    add_trained(whole, trained)
    for name in whole.config.untrained_towers():
        if any(key.startswith(f"model.{name}_tower.") for key in trained):
            whole.config.mark_untrained(name, False)
    whole.save_pretrained(folder)
    whole.processor.save_pretrained(folder)
