"""The settings of a stage that follow from its recipe, its model's config and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmmodal.errors import ConfigError
from mmmodal.train.recipe import Recipe, deepspeed_config

if TYPE_CHECKING:
    import torch

__all__ = ["Plan", "held_dtype"]

HALVES = {"bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Plan:
    """The settings that training and `--check` share."""

    has_gpu: bool
    half: torch.dtype | None
    """The precision of arithmetic; None: fp32."""

    deepspeed: dict[str, Any] | None
    """DeepSpeed's configuration; None: without DeepSpeed."""

    positions: int
    """The maximum number of positions of the language model."""

    max_tokens: int
    """The maximum length of a conversation: that of the recipe, at most `positions`."""

    @classmethod
    def of(cls, recipe: Recipe, base: str, has_gpu: bool) -> Plan:
        """Return the plan of a recipe that starts from the model folder `base`.

        Raises:
            ConfigError: this machine cannot run it.
            CheckpointError: `base` is not a model folder.
        """
        from mmmodal.making.loading import load_config

        positions = load_config(base).positions
        return cls(
            has_gpu,
            _half(recipe, has_gpu),
            deepspeed_config(recipe.deepspeed, has_gpu),
            positions,
            min(recipe.max_tokens, positions),
        )

    @property
    def autocast(self) -> torch.dtype | None:
        """The precision of autocast; None with DeepSpeed, which stores all weights in `half`."""
        return self.half if self.deepspeed is None else None

    @property
    def loaded_as(self) -> Any:
        """The precision to load the model in."""
        import torch

        # Under autocast trained weights stay in fp32, as they were saved; frozen ones are halved.
        return "auto" if self.autocast is not None else self.half or torch.float32

    def held(self, trains: bool) -> torch.dtype:
        """Return the precision of the weights of a trained or frozen part."""
        return held_dtype(trains, self.half, self.deepspeed is not None)


def held_dtype(trains: bool, half: torch.dtype | None, deepspeed: bool) -> torch.dtype:
    """Return the precision of a weight.

    Trained weights are fp32 under autocast; DeepSpeed keeps its own fp32 copies of them.
    """
    import torch

    return torch.float32 if half is None or (trains and not deepspeed) else half


def _half(recipe: Recipe, has_gpu: bool) -> torch.dtype | None:
    import torch

    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if has_gpu else "fp32"
    if precision == "fp16" and not has_gpu:
        raise ConfigError("recipe", ["'precision': fp16 needs a GPU; use bf16 or fp32"])
    return getattr(torch, HALVES[precision]) if precision in HALVES else None
