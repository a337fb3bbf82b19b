"""Part classes with their packages, and the parts of a modality to add to a model."""

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
    """A part class and the package that provides it."""

    part: type[Any]
    package: str
    version: str
    plugin: str = ""


@dataclass(frozen=True)
class Addition:
    """One modality to add: its parts, built from options, without weights."""

    modality: Modality
    encoder: Encoder
    projector: Projector
    source: str | None
    provided: Mapping[str, Provided] = field(repr=False)
    """The packages that provide the `encoder` and the `projector`."""
