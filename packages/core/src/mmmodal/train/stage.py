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
from mmmodal.data.prepared import PreparedDataset
from mmmodal.train.arguments import arguments_of, half_precision, join_ranks
from mmmodal.train.recipe import Recipe
from mmmodal.train.report import report_stage
from mmmodal.train.reporting import reporters
from mmmodal.train.run_folder import (
    METRICS,
    begin_run,
    find_run,
    last_checkpoint,
    moving_in,
    rank,
)
from mmmodal.train.start import Start, find_start

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Outcome", "run_stage"]


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

    from mmmodal.train.trainable import choose, trained_counts
    from mmmodal.train.trainer import Interruption, MetricsFile, ProgressBar, StageTrainer

    run = find_run(recipe, fresh)
    reports = reporters(recipe.report_to, run)
    start = find_start(recipe)
    has_gpu = torch.cuda.is_available()
    arguments = arguments_of(recipe, run, has_gpu)  # before the model: ZeRO-3 spreads it on loading
    join_ranks(arguments)
    set_seed(recipe.seed)
    model = _load_model(start.base, recipe, arguments)
    dataset = PreparedDataset.open(recipe, model.processor, _context_length(model))
    choose(model, recipe.train.parts, recipe.train.lora)
    _hold(model, arguments)
    start.fill(model, recipe)
    begin_run(recipe, run, fresh, len(dataset))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # nobody looks for checkpoints that are being removed
    counts = trained_counts(model)
    _tell(counts)
    bar = ProgressBar()
    with Interruption() as interruption, contextlib.closing(bar):
        trainer = StageTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            data_collator=model.processor.collate,
            callbacks=[bar, MetricsFile(run / METRICS), interruption, *reports],
            learning_rates={str(part): rate for part, rate in recipe.train.learning_rates.items()},
        )
        result = trainer.train(resume_from_checkpoint=last_checkpoint(run))
    finished = interruption.signal is None
    if finished:
        _finish(trainer, recipe, run, start)
        report_stage(recipe, run, dataset, counts)
    return Outcome(
        finished,
        result.global_step,
        _last_loss(trainer.state.log_history),
        float(result.metrics.get("train_runtime", 0.0)),
        recipe.out,
        counts,
        signal.Signals(interruption.signal).name if interruption.signal is not None else None,
    )


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
        device="cpu",
        attn_implementation=recipe.attn_implementation,
    )
    model.train()
    return model


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
