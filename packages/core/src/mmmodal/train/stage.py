"""Run one stage: a model folder and records in, a trained model folder out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.data.prepared import PreparedDataset
from mmmodal.errors import CheckpointError, ConfigError
from mmmodal.train.recipe import Recipe, deepspeed_config

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Outcome", "run_stage"]

RUN = "run"
"""The subfolder of `out` that holds a run's checkpoints, recipe and metrics."""

NOTED = "recipe.json"
"""What a run was begun with."""


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    finished: bool
    steps: int
    loss: float | None
    seconds: float
    out: Path
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

    from mmmodal.train.trainable import choose
    from mmmodal.train.trainer import Interruption, MetricsFile, ProgressBar, StageTrainer

    run = _find_run(recipe, fresh)
    has_gpu = torch.cuda.is_available()
    arguments = _arguments(recipe, run, has_gpu)  # before the model: ZeRO-3 spreads it on loading
    _join_ranks(arguments)
    set_seed(recipe.seed)
    model = _load_model(recipe, arguments)
    dataset = PreparedDataset.open(recipe, model.processor, _context_length(model))
    _begin_run(recipe, run, fresh)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # nobody looks for checkpoints that are being removed
    choose(model, recipe.train)
    _hold(model, arguments)
    bar = ProgressBar()
    with Interruption() as interruption, contextlib.closing(bar):
        trainer = StageTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            data_collator=model.processor.collate,
            callbacks=[bar, MetricsFile(run / "metrics.jsonl"), interruption],
        )
        result = trainer.train(resume_from_checkpoint=_last_checkpoint(run))
    finished = interruption.signal is None
    if finished:
        _finish(trainer, recipe, run)
    return Outcome(
        finished,
        result.global_step,
        _last_loss(trainer.state.log_history),
        float(result.metrics.get("train_runtime", 0.0)),
        recipe.out,
        signal.Signals(interruption.signal).name if interruption.signal is not None else None,
    )


def _find_run(recipe: Recipe, fresh: bool) -> Path:
    """Return the folder of the run, to be made or continued; nothing is written yet.

    Raises:
        CheckpointError: `out` holds something else than an unfinished run of this recipe.
    """
    out, run = recipe.out, recipe.out / RUN
    if (out / "config.json").exists():
        raise CheckpointError(f"{out} holds a finished model; choose another `out`")
    if out.resolve() == recipe.model.resolve():
        raise CheckpointError("`out` is the input folder, which is never changed; choose another")
    ours = (run / NOTED).is_file()
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists and is no training run; choose another `out`")
    if ours and not fresh:
        try:
            before = json.loads((run / NOTED).read_text(encoding="utf-8"))
        except ValueError:
            raise CheckpointError(f"{run / NOTED} is damaged; --fresh begins anew") from None
        changed = sorted(k for k, v in recipe.fingerprint().items() if before.get(k) != v)
        if changed:
            raise CheckpointError(
                f"{out} was begun with other values of {', '.join(changed)}; "
                "give the same ones to continue, another `out`, or --fresh to begin anew"
            )
    return run


def _begin_run(recipe: Recipe, run: Path, fresh: bool) -> None:
    """Make the folder of the run and note its recipe, once everything has been opened."""
    if _rank() != 0:
        return
    try:
        if fresh and (run / NOTED).is_file():
            shutil.rmtree(run)
        run.mkdir(parents=True, exist_ok=True)
        note = json.dumps(recipe.fingerprint(), indent=2) + "\n"
        (run / f".{NOTED}").write_text(note, encoding="utf-8")
        (run / f".{NOTED}").replace(run / NOTED)
    except OSError as error:
        raise CheckpointError(f"{run} cannot be written ({error.strerror})") from None


def _arguments(recipe: Recipe, run: Path, has_gpu: bool) -> TrainingArguments:
    from transformers import TrainingArguments

    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if has_gpu else "fp32"
    if precision == "fp16" and not has_gpu:
        raise ConfigError("recipe", ["'precision': fp16 needs a GPU; use bf16 or fp32"])
    deepspeed = deepspeed_config(recipe.deepspeed, has_gpu)
    if deepspeed is not None:
        _pretend_to_be_launched()
    return TrainingArguments(
        output_dir=str(run / "checkpoints"),
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup"
        if recipe.schedule == "constant"
        else recipe.schedule,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not has_gpu,
        deepspeed=deepspeed,
        **_checkpointing(recipe.gradient_checkpointing),
        dataloader_num_workers=recipe.workers,
        remove_unused_columns=False,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=recipe.keep_checkpoints,
        logging_strategy="steps",
        logging_steps=recipe.log_every,
        logging_first_step=True,
        seed=recipe.seed,
        data_seed=recipe.seed,
        report_to="none",
    )


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Ask for gradient checkpointing under the name that this version of transformers has."""
    from transformers import TrainingArguments

    renamed = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    word = "activation" if renamed else "gradient"
    kwargs = {f"{word}_checkpointing_kwargs": {"use_reentrant": False}}
    return {f"{word}_checkpointing": True, **kwargs} if wanted else {}


def _join_ranks(arguments: TrainingArguments) -> None:
    """Let the ranks know each other before ZeRO-3 spreads the weights over them on loading."""
    assert arguments.device is not None  # asking for it is what joins them
    if arguments.deepspeed is not None:
        import deepspeed

        backend = "nccl" if arguments.device.type == "cuda" else "gloo"
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)


def _load_model(recipe: Recipe, arguments: TrainingArguments) -> MMModalForConditionalGeneration:
    import torch

    from mmmodal.loading import load

    # Under autocast what trains is held as it was saved, in fp32, and only the rest is halved.
    held = "auto" if arguments.deepspeed is None and _half(arguments) else _half(arguments)
    model = load(
        recipe.model,
        dtype=held or torch.float32,
        device="cpu",
        attn_implementation=recipe.attn_implementation,
    )
    model.train()
    return model


def _half(arguments: TrainingArguments) -> Any:
    """Return the half precision that the arguments ask for, or None."""
    import torch

    return torch.bfloat16 if arguments.bf16 else torch.float16 if arguments.fp16 else None


def _hold(model: Any, arguments: TrainingArguments) -> None:
    """Keep what trains in fp32 under autocast and the rest in half precision.

    DeepSpeed holds all in half precision, and fp32 copies of what trains.
    """
    half = _half(arguments)
    if arguments.deepspeed is None and half is not None:
        for parameter in model.parameters():
            parameter.data = (
                parameter.data.float() if parameter.requires_grad else parameter.to(half)
            )


def _finish(trainer: Any, recipe: Recipe, run: Path) -> None:
    """Write the whole model: the input's weights, bitwise, with what was trained put in."""
    from mmmodal.loading import load
    from mmmodal.model.zero3 import whole_weights
    from mmmodal.train.trainable import add_trained, read_trained

    last = run / "trained"
    trainer.save_model(str(last))
    if _rank() == 0:
        with whole_weights():
            whole = load(recipe.model, device="cpu")
        add_trained(whole, read_trained(last))
        _move_in(whole, recipe.out)
        shutil.rmtree(last)
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
    trainer.accelerator.wait_for_everyone()


def _move_in(model: MMModalForConditionalGeneration, out: Path) -> None:
    """Write the model beside `run`, config.json last: it marks a finished folder."""
    working = out / f".writing-{os.getpid()}"
    working.mkdir()
    try:
        model.save_pretrained(working)
        model.processor.save_pretrained(working)
        for path in sorted(working.iterdir(), key=lambda p: p.name == "config.json"):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _context_length(model: Any) -> int | None:
    length = getattr(model.config.text_config, "max_position_embeddings", None)
    return int(length) if length else None


def _last_checkpoint(run: Path) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    folder = run / "checkpoints"
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def _last_loss(history: list[dict[str, Any]]) -> float | None:
    return next((float(row["loss"]) for row in reversed(history) if "loss" in row), None)


def _pretend_to_be_launched() -> None:
    """Let DeepSpeed run in a single process that no launcher started."""
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    if "RANK" not in os.environ:
        os.environ.update(alone, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()))


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))
