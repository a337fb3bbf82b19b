"""Settings for computing and storing features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmmodal.contracts import Encoder
from mmmodal.errors import RecordError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Cache", "FrozenTower", "StoredDtype"]

StoredDtype = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class FrozenTower:
    """A tower that is not trained, so that its features can be stored."""

    network: nn.Module
    encoder: Encoder
    description: dict[str, Any]
    """All that its features depend on; see `describe_tower`."""


@dataclass(frozen=True)
class Cache:
    """Where features are stored, and how they are computed."""

    folder: Path
    limit: int | None = None
    """The maximum size of the folder in bytes, including features of other towers."""

    dtype: StoredDtype = "bf16"
    """The precision of stored features; fp32 is exact for a tower in fp32."""

    workers: int = 0
    """The number of processes that read and preprocess media."""

    device: str = "cpu"
    """The device of the towers."""

    autocast: torch.dtype | None = None
    """The precision of the towers' arithmetic; None: that of their weights."""

    shard_bytes: int = 256 * 2**20
    """The size of waiting features at which a shard is written."""

    on_error: Callable[[RecordError], None] | None = None
    """A function that gets the error of each medium that cannot be read, which is left out; by
    default the error is raised."""
