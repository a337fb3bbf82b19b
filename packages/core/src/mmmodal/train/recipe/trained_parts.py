"""The parts of a model that a stage trains: whole, or with low-rank adapters (LoRA)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmmodal.adapters.lora import Lora
from mmmodal.config import Config

__all__ = ["TrainedParts"]

Trainable = Literal["projectors", "markers", "language_model", "towers"]
"""The parts of a model that can be trained whole, by their names in recipes."""


class TrainedParts(Config):
    """The parts to train; all others stay bitwise unchanged."""

    parts: frozenset[Trainable] = frozenset()
    """The parts to train whole: projectors, markers, language_model, towers."""

    lora: Lora | None = None
    """The adapters to train; only these are then saved."""

    learning_rates: dict[Trainable, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Learning rates of parts that differ from the recipe's: `{projectors: 1e-3}`."""

    @model_validator(mode="after")
    def _check(self) -> TrainedParts:
        if self.lora is None and not self.parts:
            raise ValueError("no part is trained; set parts or lora")
        whole = sorted(self.parts - {"projectors", "markers"})
        if self.lora is not None and whole:
            raise ValueError(
                f"with lora, {' and '.join(whole)} cannot be trained whole: an adapter folder can "
                "hold only projectors and markers; make it a target of lora instead"
            )
        if (
            self.lora is not None
            and "projectors" in self.parts
            and "projectors" in self.lora.targets
        ):
            raise ValueError("projectors can be trained whole or with lora, not both")
        if idle := sorted(self.learning_rates.keys() - self.parts_with_adapters()):
            raise ValueError(
                f"learning_rates names {' and '.join(idle)}, which is not trained; add it to "
                "`parts`, or remove its rate"
            )
        return self

    def parts_with_adapters(self) -> set[str]:
        """Return the trained parts, whole or with adapters; a modality's name means its tower."""
        known = {"language_model", "projectors", "towers"}
        adapted = self.lora.targets if self.lora is not None else {}
        return {*self.parts, *(name if name in known else "towers" for name in adapted)}
