"""Changes to a DeepSpeed engine, for small checkpoints and for bitwise equal resumed runs."""

from __future__ import annotations

import functools
from typing import Any

import torch

__all__ = ["forget_powers", "prepare_engine"]


def prepare_engine(engine: Any) -> None:
    """Apply the changes to an engine; further calls have no effect."""
    if hasattr(engine, "saves_what_trains"):
        return
    _save_what_trains(engine)
    zero = engine.optimizer
    if hasattr(zero, "check_grad_overflow"):
        zero.check_grad_overflow = True  # otherwise ZeRO-2 in fp32 applies a step with NaN
    forget_powers(getattr(zero, "optimizer", None))
    engine.saves_what_trains = True


def _save_what_trains(engine: Any) -> None:
    """Leave frozen weights, which the input folder has, out of a DeepSpeed engine's checkpoints.

    transformers does this for PEFT models only, and has no option for other models.
    """
    load = engine.load_checkpoint

    def load_checkpoint(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **{**kwargs, "load_module_strict": False})

    engine.save_checkpoint = functools.partial(
        engine.save_checkpoint, exclude_frozen_parameters=True
    )
    engine.load_checkpoint = load_checkpoint


def forget_powers(optimizer: Any) -> None:
    """Make DeepSpeed's CPU Adam compute beta ** step again in every step.

    Its compiled part keeps both powers and multiplies them by beta in every step, in single
    precision; it uses pow only if a step does not follow the last one, as after loading. A resumed
    run therefore differs in the last bits from an uninterrupted one (measured: 3e-8;
    csrc/includes/cpu_adam.h, IncrementStep). An empty update with a step out of sequence makes it
    use pow in every step. Other optimizers are unchanged.
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
