"""Translate a recipe to the arguments of transformers' Trainer and DeepSpeed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.plan import Plan

if TYPE_CHECKING:
    from transformers import TrainingArguments

__all__ = ["arguments_of", "join_ranks"]


def arguments_of(recipe: Recipe, run: Path, plan: Plan) -> TrainingArguments:
    """Return the arguments for a recipe whose run is in the folder `run`."""
    import torch
    from transformers import TrainingArguments

    workers = _workers(plan.has_gpu) if recipe.workers is None else recipe.workers
    if plan.deepspeed is not None:
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
        bf16=plan.half == torch.bfloat16,
        fp16=plan.half == torch.float16,
        use_cpu=not plan.has_gpu,
        deepspeed=plan.deepspeed,
        **_checkpointing(recipe.gradient_checkpointing),
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=recipe.prefetch if workers else None,
        dataloader_persistent_workers=workers > 0,
        remove_unused_columns=False,
        ignore_data_skip=recipe.streams,  # their feed starts from a position of its own
        save_strategy="steps",
        save_steps=recipe.save_every,
        logging_strategy="steps",
        logging_steps=recipe.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would replace the loss of a bad step
        seed=recipe.seed,
        data_seed=recipe.seed,
        report_to="none",
    )


def _workers(has_gpu: bool) -> int:
    """Return the number of processes that prepare batches while the GPU computes."""
    if not has_gpu:
        return 0
    mine = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(8, max(0, mine - 1))


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Return the argument for gradient checkpointing, which depends on transformers' version."""
    from transformers import TrainingArguments

    renamed = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    word = "activation" if renamed else "gradient"
    kwargs = {f"{word}_checkpointing_kwargs": {"use_reentrant": False}}
    return {f"{word}_checkpointing": True, **kwargs} if wanted else {}


def join_ranks(arguments: TrainingArguments) -> None:
    """Create the process group, before ZeRO-3 partitions the weights over ranks on loading."""
    assert arguments.device is not None  # reading this property creates the process group
    if arguments.deepspeed is not None:
        import deepspeed

        backend = "nccl" if arguments.device.type == "cuda" else "gloo"
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)


def _pretend_to_be_launched() -> None:
    """Set the environment that DeepSpeed needs in a single process without a launcher."""
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    if "RANK" not in os.environ:
        os.environ.update(alone, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()))


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
