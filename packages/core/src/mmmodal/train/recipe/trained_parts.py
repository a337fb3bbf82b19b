"""Which parts of a model a stage trains: whole, or by a few added weights (LoRA)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmmodal.adapters.lora import Lora
from mmmodal.config import Config

__all__ = ["TrainedParts"]

Trainable = Literal["projectors", "markers", "language_model", "towers"]
"""What of a model can train whole, as recipes name it."""


class TrainedParts(Config):
    """The parts that train; all others stay bitwise as they are."""

    parts: frozenset[Trainable] = frozenset()
    """What trains whole: projectors, markers, language_model, towers."""

    lora: Lora | None = None
    """What trains by adapters, which are then what is saved."""

    learning_rates: dict[Trainable, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """The learning rate of a part where it is not the recipe's: `{projectors: 1e-3}`."""

    @model_validator(mode="after")
    def _check(self) -> TrainedParts:
        if self.lora is None and not self.parts:
            raise ValueError("nothing trains; name parts, or lora")
        whole = sorted(self.parts - {"projectors", "markers"})
        if self.lora is not None and whole:
            raise ValueError(
                f"with lora, {' and '.join(whole)} cannot train whole: an adapter folder holds "
                "projectors and markers besides; make it a target of lora instead"
            )
        if (
            self.lora is not None
            and "projectors" in self.parts
            and "projectors" in self.lora.targets
        ):
            raise ValueError("projectors train whole or by lora, not both")
        if idle := sorted(self.learning_rates.keys() - self.parts_with_adapters()):
            raise ValueError(
                f"learning_rates names {' and '.join(idle)}, which does not train; add it to "
                "`parts`, or remove its rate"
            )
        return self

    def parts_with_adapters(self) -> set[str]:
        """Return the parts that train, whole or by adapters; a modality's name is its tower's."""
        known = {"language_model", "projectors", "towers"}
        adapted = self.lora.targets if self.lora is not None else {}
        return {*self.parts, *(name if name in known else "towers" for name in adapted)}
