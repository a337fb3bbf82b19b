"""What a DeepSpeed engine must do otherwise, so that a run is saved small and goes on exactly."""

from __future__ import annotations

import functools
from typing import Any

import torch

__all__ = ["forget_powers", "prepare_engine"]


def prepare_engine(engine: Any) -> None:
    """Change an engine once; more calls do nothing."""
    if hasattr(engine, "saves_what_trains"):
        return
    _save_what_trains(engine)
    zero = engine.optimizer
    if hasattr(zero, "check_grad_overflow"):
        zero.check_grad_overflow = True  # in fp32 ZeRO-2 would take a step on NaN
    forget_powers(getattr(zero, "optimizer", None))
    engine.saves_what_trains = True


def _save_what_trains(engine: Any) -> None:
    """Leave frozen weights out of a DeepSpeed engine's checkpoints: the input folder has them.

    transformers asks for that with PEFT alone, and gives no way to ask for it otherwise.
    """
    load = engine.load_checkpoint

    def load_checkpoint(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **{**kwargs, "load_module_strict": False})

    engine.save_checkpoint = functools.partial(
        engine.save_checkpoint, exclude_frozen_parameters=True
    )
    engine.load_checkpoint = load_checkpoint


def forget_powers(optimizer: Any) -> None:
    """Let DeepSpeed's CPU Adam compute beta ** step anew in every step; leave other optimizers.

    Its compiled half holds both powers and multiplies them by beta from step to step, in single
    precision; it computes them by pow only where a step does not follow the last one, as after
    loading. So a run that goes on differs in the last bits from one that was not interrupted
    (measured: 3e-8; csrc/includes/cpu_adam.h, IncrementStep). An update of nothing at a step that
    does not come next makes it use pow always.
    """
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    if not isinstance(optimizer, DeepSpeedCPUAdam):
        return
    nothing = [torch.zeros(1) for _ in range(4)]

    def away(adam: Any, *_: Any) -> None:
        steps = [int(state["step"]) for state in adam.state.values() if "step" in state]
        beta1, beta2 = adam.param_groups[0]["betas"]
        far = max(steps, default=0) + 3
        adam.ds_opt_adam.adam_update(adam.opt_id, far, 0.0, beta1, beta2, 1.0, 0.0, True, *nothing)

    optimizer.register_step_pre_hook(away)
