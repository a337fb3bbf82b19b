"""The result of checking a recipe: the machine, the counts, the problems."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmmodal.train.preflight.estimate import Memory, Step

__all__ = ["Checked", "HeldOutCounts", "Lengths", "Machine"]


@dataclass(frozen=True)
class Machine:
    """The machine on which a stage will run."""

    has_gpu: bool
    memory: int | None
    """The memory of one GPU in bytes, or of the machine without one; None if unknown."""

    ranks: int = 1
    """The number of processes, one for each GPU."""

    @classmethod
    def found(cls, memory: int | None = None, ranks: int | None = None) -> Machine:
        """Return this machine, or one with `memory` bytes per GPU and `ranks` GPUs."""
        import torch

        has_gpu = torch.cuda.is_available()
        own = torch.cuda.get_device_properties(0).total_memory if has_gpu else _ram()
        here = int(os.environ.get("WORLD_SIZE", "0")) or (torch.cuda.device_count() or 1)
        return cls(has_gpu or memory is not None, memory or own, ranks or here)


@dataclass(frozen=True)
class Lengths:
    """The numbers of tokens of conversations, slots included."""

    measured: int
    """The number of measured conversations."""

    mean: float
    longest: int
    where: str
    """The row of the longest conversation."""

    shortened: int
    """The number of those that exceed `max_tokens` or the context, and lose their oldest turns."""


@dataclass(frozen=True)
class HeldOutCounts:
    """What each evaluation takes."""

    records: int
    """The number of records of all files."""

    evaluated: int
    """The number of those that are evaluated."""

    tokens: int
    """The number of tokens of these, with their answers and slots."""

    answers: int
    """The number of turns that are answered."""

    metrics: tuple[str, ...]
    every: int
    """The number of steps between evaluations."""

    def evaluations(self, steps: int) -> int:
        """Return the number of evaluations of a run, with those at its start and end."""
        return 1 + -(-steps // self.every)


@dataclass
class Checked:
    """The counts and estimates of a stage, and its problems."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Notes, which do not prevent the training."""

    datasets: list[dict[str, Any]] = field(default_factory=list)
    """The records, the weight and the records in an epoch of each file."""

    trained: dict[str, int] = field(default_factory=dict)
    """The number of trained parameters of each part."""

    lengths: Lengths | None = None
    samples: int | None = None
    """The number of conversations in an epoch; None: not known, as of streamed data."""

    steps: int | None = None
    packs: int | None = None
    """The number of packs in all epochs, if conversations are packed."""

    utilisation: float | None = None
    """The share of the packs' capacity that is filled."""

    stored_widths: dict[str, int] = field(default_factory=dict)
    """The modalities whose features the recipe stores, with the widths of the features."""

    stored_media: int = 0
    stored_bytes: int | None = None
    """The estimated size of these features in bytes."""

    held_out: HeldOutCounts | None = None
    memory: Memory | None = None
    """The memory of a step with the longest measured conversations."""

    at_most: Memory | None = None
    """The memory of a step with conversations of `max_tokens`."""

    step: Step | None = None
    machine: Machine | None = None

    @property
    def tokens(self) -> int | None:
        """The number of tokens in an epoch, extrapolated if not all conversations were measured."""
        if self.lengths is None or self.samples is None:
            return None
        return round(self.lengths.mean * self.samples)

    @property
    def measured_all(self) -> bool:
        """Whether all conversations of an epoch were measured."""
        lengths, samples = self.lengths, self.samples
        return lengths is not None and samples is not None and lengths.measured >= samples


def _ram() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not available on every system
        return None
