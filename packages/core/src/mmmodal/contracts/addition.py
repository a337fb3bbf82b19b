"""What a model is extended by: one modality with its parts, not loaded yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.plugins import Provided

__all__ = ["Addition"]


@dataclass(frozen=True)
class Addition:
    """One modality to be added: its parts, built from options but without weights."""

    modality: Modality
    encoder: Encoder
    projector: Projector
    source: str | None
    provided: Mapping[str, Provided] = field(repr=False)
    """Which package brings the `encoder` and the `projector`."""
