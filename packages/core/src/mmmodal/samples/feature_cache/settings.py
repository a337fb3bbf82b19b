"""How features are computed and kept."""

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
    """A tower that does not train, so that its features can be kept."""

    network: nn.Module
    encoder: Encoder
    description: dict[str, Any]
    """All that decides its features; see `describe_tower`."""


@dataclass(frozen=True)
class Cache:
    """Where features are kept, and how they are computed."""

    folder: Path
    limit: int | None = None
    """The bytes that the folder may take, features of other towers included."""

    dtype: StoredDtype = "bf16"
    """What features are rounded to; fp32 keeps those of a tower in fp32 as they are."""

    workers: int = 0
    """Processes that read and preprocess media."""

    device: str = "cpu"
    """Where the towers run."""

    autocast: torch.dtype | None = None
    """The precision of their arithmetic, where it is not that of their weights."""

    shard_bytes: int = 256 * 2**20
    """A shard is written as soon as so much is waiting."""

    on_error: Callable[[RecordError], None] | None = None
    """Is given what cannot be read, which is left out; by default it is raised."""
