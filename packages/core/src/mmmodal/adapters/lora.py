"""What a low-rank adapter is: its sizes, and the layers that get one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mmmodal.config import Config

__all__ = ["Lora"]

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
