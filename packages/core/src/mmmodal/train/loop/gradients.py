"""Look after the first step whether every part that should train got gradients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmmodal.errors import TrainingError
from mmmodal.faults import named
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.loop.trainable import part_of

__all__ = ["GradientWatch"]

SHOWN = 3
"""The number of parameters that are named."""


class GradientWatch(TrainerCallback):
    """Name the parameters that the first backward pass does not reach.

    Each trainable parameter gets a hook of autograd, which runs when its gradient arrives, also
    where DeepSpeed then moves the gradient elsewhere or partitions it; they are removed afterwards.
    """

    def __init__(self, model: MMModalForConditionalGeneration) -> None:
        self._model = model
        self._waiting: set[str] = set()
        self._hooks: list[Any] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Register the hooks."""
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad:
                self._waiting.add(name)
                self._hooks.append(parameter.register_post_accumulate_grad_hook(self._seen(name)))

    def _seen(self, name: str) -> Any:
        def arrived(parameter: Tensor) -> None:
            self._waiting.discard(name)

        return arrived

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell what got no gradient in the first step of this process.

        Raises:
            TrainingError: no parameter of a part got one.
        """
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        trained: dict[str, list[str]] = {}
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad:
                trained.setdefault(part_of(name), []).append(name)
        for part, names in trained.items():
            idle = [name for name in names if name in self._waiting]
            if len(idle) == len(names):
                raise TrainingError(self._idle_part(part, len(names)))
            if idle and state.is_world_process_zero:
                print(_idle_parameters(part, idle, len(names)), file=sys.stderr)

    def _idle_part(self, part: str, count: int) -> str:
        base, whole = self._model.model, part.removesuffix(" (LoRA)")
        parts: dict[str, Any] = {f"{name}_tower": part for name, part in base.encoders.items()}
        parts |= {f"{name}_projector": part for name, part in base.projectors.items()}
        of = f" of {named(parts[whole])}" if whole in parts else ""
        return (
            f"{part}{of} should train, but none of its {count} parameters got a gradient in the "
            "first step: its network computes without gradients (`no_grad`, `detach`), or does not "
            "use them; leave it out of train.parts, or correct it"
        )


def _idle_parameters(part: str, idle: Sequence[str], count: int) -> str:
    shown = ", ".join(idle[:SHOWN]) + (" …" if len(idle) > SHOWN else "")
    return (
        f"Warning: {len(idle)} of {count} parameters of {part} got no gradient in the first step "
        f"and stay as they are, unless later steps use them: {shown}"
    )
