"""Weights of local models: where they come from, and where they run."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mmmodal.authoring.parts import Config, PartError

__all__ = ["LocalOptions", "device_of", "loaded"]


class LocalOptions(Config):
    """The weights, and where they run."""

    source: str
    """A folder in the format of transformers, or a name on the Hugging Face Hub."""

    revision: str | None = None
    """A tag, or better a commit, of a name on the Hub."""

    device: str | None = None
    """By default the GPU, if there is one."""

    dtype: str = "auto"
    """`auto` keeps the dtype of the weights."""

    batch_size: int = Field(8, ge=1)
    """Items worked on at once."""


def device_of(options: LocalOptions) -> str:
    """Return the device that a model runs on."""
    import torch

    return options.device or ("cuda" if torch.cuda.is_available() else "cpu")


def loaded(kind: Any, options: LocalOptions) -> Any:
    """Return a model of a class of transformers, loaded from safetensors only.

    Raises:
        PartError: it cannot be loaded; gives the reason.
    """
    try:
        model = kind.from_pretrained(
            options.source,
            revision=options.revision or "main",
            dtype=options.dtype,
            use_safetensors=True,
        )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PartError(f"{options.source} cannot be loaded: {reason}") from None
    return model.to(device_of(options)).eval()
