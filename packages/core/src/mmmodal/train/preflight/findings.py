"""What looking at a recipe found: a plan, and what stands against it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmmodal.train.preflight.estimate import Memory, Step

__all__ = ["Checked", "Lengths", "Machine"]


@dataclass(frozen=True)
class Machine:
    """What a stage will run on."""

    has_gpu: bool
    memory: int | None
    """Bytes of one GPU, or of the machine if it has none; None: not known."""

    ranks: int = 1
    """Processes: one for each GPU."""

    @classmethod
    def found(cls, memory: int | None = None, ranks: int | None = None) -> Machine:
        """Describe this machine, or another one whose GPUs have so much memory."""
        import torch

        has_gpu = torch.cuda.is_available()
        own = torch.cuda.get_device_properties(0).total_memory if has_gpu else _ram()
        here = int(os.environ.get("WORLD_SIZE", "0")) or (torch.cuda.device_count() or 1)
        return cls(has_gpu or memory is not None, memory or own, ranks or here)


@dataclass(frozen=True)
class Lengths:
    """The tokens of conversations, slots included."""

    measured: int
    """How many conversations they are of."""

    mean: float
    longest: int
    where: str
    """The row of the longest."""

    shortened: int
    """How many lose their oldest turns, as they are longer than `max_tokens` or the context."""


@dataclass
class Checked:
    """What a stage would do, and what stands against it."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is worth knowing, and no reason not to begin."""

    datasets: list[dict[str, Any]] = field(default_factory=list)
    """For each file its records, its weight and how many records of it an epoch holds."""

    trained: dict[str, int] = field(default_factory=dict)
    """How many parameters of which part train."""

    lengths: Lengths | None = None
    samples: int = 0
    """Conversations in an epoch."""

    steps: int | None = None
    packs: int | None = None
    """In all epochs, where conversations are packed."""

    utilisation: float | None = None
    """The share of the packs that is filled."""

    stored_widths: dict[str, int] = field(default_factory=dict)
    """The modalities whose features the recipe keeps, and how wide these are."""

    stored_media: int = 0
    stored_bytes: int | None = None
    """What their features take."""

    memory: Memory | None = None
    """Of a step with the longest conversations that were measured."""

    at_most: Memory | None = None
    """Of a step with conversations of `max_tokens`."""

    step: Step | None = None
    machine: Machine | None = None

    @property
    def tokens(self) -> int | None:
        """The tokens of an epoch; of more conversations than were measured, about so many."""
        return None if self.lengths is None else round(self.lengths.mean * self.samples)


def _ram() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return None
