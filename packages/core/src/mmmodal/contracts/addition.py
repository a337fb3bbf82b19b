"""Parts that are found: who brings them, and what a model is extended by, not loaded yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmmodal.contracts.encoder import Encoder
from mmmodal.contracts.modality import Modality
from mmmodal.contracts.projector import Projector

__all__ = ["Addition", "Provided"]


@dataclass(frozen=True)
class Provided:
    """A part class and the package that brings it."""

    part: type[Any]
    package: str
    version: str
    plugin: str = ""


@dataclass(frozen=True)
class Addition:
    """One modality to be added: its parts, built from options but without weights."""

    modality: Modality
    encoder: Encoder
    projector: Projector
    source: str | None
    provided: Mapping[str, Provided] = field(repr=False)
    """Which package brings the `encoder` and the `projector`."""
