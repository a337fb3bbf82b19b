"""What of a stage follows from its recipe, its model and the machine, before anything is loaded."""

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
    """What training and `--check` both go by."""

    has_gpu: bool
    half: torch.dtype | None
    """The precision to compute in; None: fp32."""

    deepspeed: dict[str, Any] | None
    """DeepSpeed's configuration; None: without it."""

    positions: int
    """The longest text that the language model reads."""

    max_tokens: int
    """The longest conversation: that of the recipe, or `positions`."""

    @classmethod
    def of(cls, recipe: Recipe, base: str, has_gpu: bool) -> Plan:
        """Derive the plan of a recipe that starts from the model folder `base`.

        Raises:
            ConfigError: it asks for what this machine cannot do.
            CheckpointError: `base` is no model folder.
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
        """The precision that autocast computes in; DeepSpeed holds everything in it instead."""
        return self.half if self.deepspeed is None else None

    @property
    def loaded_as(self) -> Any:
        """The precision to load the model in."""
        import torch

        # Under autocast what trains is held as it was saved, in fp32, and only the rest is halved.
        return "auto" if self.autocast is not None else self.half or torch.float32

    def held(self, trains: bool) -> torch.dtype:
        """Return the precision in which a weight is kept, of a part that trains or is frozen."""
        return held_dtype(trains, self.half, self.deepspeed is not None)


def held_dtype(trains: bool, half: torch.dtype | None, deepspeed: bool) -> torch.dtype:
    """Return the precision in which a weight is kept.

    What trains is fp32 under autocast; DeepSpeed keeps fp32 copies of it itself.
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
