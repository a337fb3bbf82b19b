"""The model arguments of lmms-eval's command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from mmmodal.authoring.parts import Config, validate

__all__ = ["MODEL_ID", "ModelArguments", "read_arguments"]

MODEL_ID = "mmmodal"
"""The name of our models for lmms-eval's `--model`."""


class ModelArguments(Config):
    """What `--model_args` says, as `model=FOLDER,dtype=bf16,batch_size=16`."""

    model: str
    """A model folder or an adapter folder."""

    base: str | None = None
    dtype: str = "auto"
    device: str | None = None
    attn_implementation: str | None = None
    quantization: str | None = None
    batch_size: int = Field(1, gt=0)
    """The number of questions that are answered together."""

    leave_out: tuple[str, ...] = ()
    """Generation settings of tasks that are ignored, as `image_aspect_ratio+seed`."""

    @field_validator("model", "base", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        # lmms-eval turns a name of digits into a number.
        return str(value) if isinstance(value, int | float) else value

    @field_validator("leave_out", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(filter(None, value.split("+"))) if isinstance(value, str) else value

    def loading(self) -> dict[str, Any]:
        """Return the arguments of `mmmodal.load` besides the folder."""
        return self.model_dump(exclude={"model", "batch_size", "leave_out"})


def read_arguments(given: Mapping[str, Any]) -> ModelArguments:
    """Return model arguments.

    Raises:
        ConfigError: one is unknown, missing or has an impossible value; lists all.
    """
    return validate(ModelArguments, dict(given), "model arguments")
