"""The settings of low-rank adapters: their sizes, and the layers that get one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mmmodal.config import Config

__all__ = ["Lora"]

Layers = Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)]


class Lora(Config):
    """Low-rank adapters: the product of two thin matrices is added to frozen weights."""

    rank: int = Field(16, gt=0)
    """The inner width of the product; a higher one has more trainable parameters."""

    alpha: float = Field(32.0, gt=0)
    """The product is multiplied by alpha / rank."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """The probability of dropping an input of an adapter in training."""

    targets: dict[str, Layers] = Field({"language_model": "all"}, min_length=1)
    """The layers that get an adapter, for each of language_model, projectors, towers, one of these
    as in projectors.image, or a modality (its tower): names such as `[q_proj, v_proj]`, or `all`
    for every linear layer."""

    @field_validator("targets", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        """Return a list of parts as `all` layers of each, and a single layer as a list."""
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
