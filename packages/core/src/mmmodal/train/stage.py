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
from mmmodal.data.dataset import OnError
from mmmodal.data.prepared import PreparedDataset
from mmmodal.errors import RecordError
from mmmodal.train.arguments import arguments_of, half_precision, join_ranks
from mmmodal.train.disk import naming_full_disk
from mmmodal.train.feeding import feed
from mmmodal.train.journal import Journal, cut_journals
from mmmodal.train.ranks import rank, wait
from mmmodal.train.recipe import Recipe
from mmmodal.train.run_folder import METRICS, RUN, as_begun, begin_run, find_run, moving_in
from mmmodal.train.start import Start, find_start

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.data.feature_cache.store import FeatureStore
    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.train.bad_samples import Skipped
    from mmmodal.train.checkpoints import Checkpoint, Checkpoints

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
    import torch
    from transformers import set_seed

    from mmmodal.train.checkpoints import Checkpoints
    from mmmodal.train.epochs import EpochCount
    from mmmodal.train.stored_features import store_features
    from mmmodal.train.trainable import choose, trained_counts
    from mmmodal.train.trainer import Interruption, MetricsFile, ProgressBar, StageTrainer
    from mmmodal.train.workers import naming_lost_processes

    run = find_run(recipe, fresh)
    recipe = as_begun(recipe, run, fresh)
    start = find_start(recipe)
    has_gpu = torch.cuda.is_available()
    arguments = arguments_of(recipe, run, has_gpu)  # before the model: ZeRO-3 spreads it on loading
    join_ranks(arguments)
    set_seed(recipe.seed)
    model = _load_model(start.base, recipe, arguments)
    checks = _ready_for_packs(model, recipe) if recipe.packing else []
    dataset, bad_rows = _open_data(recipe, model)
    choose(model, recipe.train.parts, recipe.train.lora)
    _hold(model, arguments)
    start.fill(model, recipe)
    store_features(model, dataset, recipe, arguments)
    begin_run(recipe, run, fresh, len(dataset))
    wait()  # nobody looks for checkpoints that are being removed
    checkpoints = Checkpoints(
        run / "checkpoints", keep=recipe.keep_checkpoints, deepspeed=bool(arguments.deepspeed)
    )
    data = feed(recipe, dataset, model.processor, run, arguments, _on_error(recipe, bad_rows))
    newest, skipped = _take_up(recipe, run, checkpoints, bad_rows)
    counts = trained_counts(model)
    _tell(counts)
    arguments.max_steps = data.steps
    bar = ProgressBar()
    with naming_lost_processes(), Interruption() as interruption, contextlib.closing(bar):
        trainer = StageTrainer(
            model=model,
            args=arguments,
            feed=data,
            callbacks=[
                *checks,
                EpochCount(data.plan),
                bar,
                MetricsFile(run / METRICS),
                interruption,
            ],
            checkpoints=checkpoints,
            skipped=skipped,
            run=run,
            nan_limit=recipe.nan_limit,
            note_rows=recipe.note_rows,
        )
        result = trainer.train(resume_from_checkpoint=str(newest.folder) if newest else None)
    finished = interruption.signal is None
    wait()  # all ranks have noted the rows they skipped
    if finished:
        _note_skipped(skipped, run, result.global_step)
        with naming_full_disk("the trained model", recipe.out):
            _finish(trainer, recipe, run, start)
    return Outcome(
        finished,
        result.global_step,
        _last_loss(trainer.state.log_history),
        float(result.metrics.get("train_runtime", 0.0)),
        recipe.out,
        counts,
        signal.Signals(interruption.signal).name if interruption.signal is not None else None,
        len(skipped.all()),
    )


def cache_features(recipe: Recipe) -> dict[str, FeatureStore]:
    """Fill a recipe's feature cache and train nothing; return the features of each modality.

    Raises:
        MMModalError: the features do not fit, or whatever keeps the recipe from being run.
    """
    import torch

    from mmmodal.train.stored_features import store_features
    from mmmodal.train.trainable import choose

    start = find_start(recipe)
    arguments = arguments_of(recipe, recipe.out / RUN, torch.cuda.is_available())
    join_ranks(arguments)
    model = _load_model(start.base, recipe, arguments)
    dataset = PreparedDataset.open(recipe, model.processor, _context_length(model))
    choose(model, recipe.train.parts, recipe.train.lora)
    _hold(model, arguments)
    return store_features(model, dataset, recipe, arguments)


def _take_up(
    recipe: Recipe, run: Path, checkpoints: Checkpoints, bad_rows: list[RecordError]
) -> tuple[Checkpoint | None, Skipped]:
    """Find where the run goes on, and cut what it noted after that."""
    from mmmodal.train.bad_samples import Skipped

    newest = checkpoints.newest()
    skipped = Skipped(recipe.on_bad_sample, run, rank())
    if rank() == 0:
        cut_journals(run, newest.step if newest else 0)
        skipped.note_once(bad_rows)
    wait()  # nobody notes rows that are cut
    return newest, skipped


def _open_data(recipe: Recipe, model: Any) -> tuple[PreparedDataset, list[RecordError]]:
    """Open the data; return it with the rows that no record can be made of, if they may be bad."""
    bad: list[RecordError] = []
    length, on_error = _context_length(model), _on_error(recipe, bad)
    return PreparedDataset.open(recipe, model.processor, length, on_error), bad


def _on_error(recipe: Recipe, bad: list[RecordError]) -> OnError:
    return "raise" if recipe.on_bad_sample == "refuse" else bad.append


def _note_skipped(skipped: Skipped, run: Path, step: int) -> None:
    """Name the rows that were left out, on stderr and in the metrics."""
    rows = skipped.all()
    if rank() == 0 and rows:
        skipped.tell()
        Journal(run / METRICS).note(step, {"skipped_rows": len(rows), "skipped": rows})


def _load_model(
    source: str, recipe: Recipe, arguments: TrainingArguments
) -> MMModalForConditionalGeneration:
    """Load what the stage starts from, in the precision it is held in."""
    import torch

    from mmmodal.loading import load

    # Under autocast what trains is held as it was saved, in fp32, and only the rest is halved.
    half = half_precision(arguments)
    held = "auto" if arguments.deepspeed is None and half else half
    model = load(
        source,
        dtype=held or torch.float32,
        device=None if recipe.quantization else "cpu",  # quantized weights stay where they are made
        attn_implementation=recipe.attn_implementation,
        quantization=recipe.quantization,
    )
    model.train()
    return model


def _ready_for_packs(model: MMModalForConditionalGeneration, recipe: Recipe) -> list[Any]:
    """Let the language model keep the samples of a pack apart; returns what checks that it does."""
    from mmmodal.train.pack_check import PackCheck, attend_by_sample, check_positions

    check_positions(model, min(recipe.max_tokens, _context_length(model) or recipe.max_tokens))
    if recipe.attn_implementation is None:
        attend_by_sample(model)
    return [PackCheck()]


def _hold(model: Any, arguments: TrainingArguments) -> None:
    """Keep what trains in fp32 under autocast and the rest in half precision.

    DeepSpeed holds all in half precision, and fp32 copies of what trains.
    """
    half = half_precision(arguments)
    if arguments.deepspeed is None and half is not None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
            elif parameter.is_floating_point():  # what is quantized stays so
                parameter.data = parameter.to(half)


def _tell(counts: Mapping[str, int]) -> None:
    """Say on stderr what trains."""
    if rank() == 0:
        parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        print(f"Training {sum(counts.values()):,} parameters: {parts}", file=sys.stderr)


def _finish(trainer: Any, recipe: Recipe, run: Path, start: Start) -> None:
    """Write the result beside `run`: a whole model, or the adapter alone."""
    from mmmodal.train.trainable import read_trained

    last = run / "trained"
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
    from mmmodal.loading import load
    from mmmodal.model.zero3 import whole_weights
    from mmmodal.train.trainable import add_trained

    with whole_weights():
        whole = load(recipe.model, device="cpu")
    add_trained(whole, trained)
    whole.save_pretrained(folder)
    whole.processor.save_pretrained(folder)


def _context_length(model: Any) -> int | None:
    length = getattr(model.config.text_config, "max_position_embeddings", None)
    return int(length) if length else None


def _last_loss(history: list[dict[str, Any]]) -> float | None:
    return next((float(row["loss"]) for row in reversed(history) if "loss" in row), None)
