"""Which parts of a model a stage trains: whole, or by a few added weights (LoRA)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mmmodal.config import Config

__all__ = ["Lora", "TrainedParts"]

Trainable = Literal["projectors", "markers", "language_model", "towers"]
"""What of a model can train whole, as recipes name it."""

Layers = Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)]


class Lora(Config):
    """Low-rank adapters: weights stay as they are, and a product of two thin matrices is added."""

    rank: int = Field(16, gt=0)
    """The inner width of that product: the more, the more can be learned."""

    alpha: float = Field(32.0, gt=0)
    """What is added is multiplied by alpha / rank."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """The share of an adapter's inputs that is dropped in training."""

    targets: dict[str, Layers] = Field({"language_model": "all"}, min_length=1)
    """For each of language_model, projectors, towers or a modality (its tower): the names of the
    layers that get an adapter, `[q_proj, v_proj]`, or `all` for every linear layer."""

    @field_validator("targets", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        """Take a list of parts for all layers of each, and one layer for a list of it."""
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list | tuple):
            return dict.fromkeys(names, "all")
        if not isinstance(names, dict):
            return value
        return {k: [v] if isinstance(v, str) and v != "all" else v for k, v in names.items()}

    @field_validator("targets", mode="after")
    @classmethod
    def _sorted(cls, value: dict[str, Layers]) -> dict[str, Layers]:
        return {
            part: layers if layers == "all" else tuple(sorted(set(layers)))
            for part, layers in sorted(value.items())
        }


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
