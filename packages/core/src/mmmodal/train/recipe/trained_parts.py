"""The parts of a model that a stage trains: whole, or with low-rank adapters (LoRA)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mmmodal.adapters.lora import Lora
from mmmodal.config import Config, suggest

__all__ = ["TrainedParts", "section_of"]

PARTS = ("projectors", "markers", "language_model", "towers")
"""The parts of a model that can be trained whole, by their names in recipes."""

OF_ONE = ("projectors", "towers")
"""Those of which one modality's can be named: `towers.image`."""


def _checked_part(name: str) -> str:
    """Return a part's name; whether the model has the modality is known when it is there."""
    part, dot, modality = name.partition(".")
    if name in PARTS or (part in OF_ONE and dot and modality.isidentifier()):
        return name
    raise ValueError(
        f"{name!r} is not a part that can be trained{suggest(part, PARTS)}; one modality's is "
        "named as in towers.image"
    )


Trainable = Annotated[str, AfterValidator(_checked_part)]
"""A name of `PARTS`, or that of one modality's tower or projector."""


class TrainedParts(Config):
    """The parts to train; all others stay bitwise unchanged."""

    parts: frozenset[Trainable] = frozenset()
    """The parts to train whole: projectors, markers, language_model, towers; those of one modality
    as in towers.image."""

    lora: Lora | None = None
    """The adapters to train; only these are then saved."""

    learning_rates: dict[Trainable, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Learning rates of parts that differ from the recipe's: `{projectors: 1e-3}`; that of one
    modality's, as in towers.image, counts before that of all."""

    @model_validator(mode="after")
    def _check(self) -> TrainedParts:
        if self.lora is None and not self.parts:
            raise ValueError("no part is trained; set parts or lora")
        whole = sorted(p for p in self.parts if section_of(p) not in ("projectors", "markers"))
        if self.lora is not None and whole:
            raise ValueError(
                f"with lora, {' and '.join(whole)} cannot be trained whole: an adapter folder can "
                "hold only projectors and markers; make it a target of lora instead"
            )
        for name in self._both_ways():
            raise ValueError(f"{name} can be trained whole or with lora, not both")
        trained = self.parts_with_adapters()
        sections = set(map(section_of, trained))
        idle = [n for n in self.learning_rates if not {n, section_of(n)} & trained]
        if idle := sorted(name for name in idle if name not in sections):
            raise ValueError(
                f"learning_rates names {' and '.join(idle)}, which is not trained; add it to "
                "`parts`, or remove its rate"
            )
        return self

    def _both_ways(self) -> list[str]:
        """Return the projectors that are named to be trained whole, and to get an adapter."""
        targets = self.lora.targets if self.lora is not None else {}
        whole, adapted = (
            {name for name in names if section_of(name) == "projectors"}
            for names in (self.parts, targets)
        )
        if "projectors" in whole | adapted:
            return sorted(whole) if whole and adapted else []
        return sorted(whole & adapted)

    def parts_with_adapters(self) -> set[str]:
        """Return the trained parts, whole or with adapters; a modality's name means its tower."""
        adapted = self.lora.targets if self.lora is not None else {}
        known = [name for name in adapted if section_of(name) in PARTS]
        return {*self.parts, *known, *(f"towers.{name}" for name in adapted if name not in known)}


def section_of(part: str) -> str:
    """Return the part of a recipe that a name belongs to: `towers` for `towers.image`."""
    return part.partition(".")[0]
