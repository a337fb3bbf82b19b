"""Note which parts output values that are not finite, without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmmodal.contracts import Encoder, Projector
from mmmodal.faults import named

__all__ = ["FiniteValues"]


class FiniteValues:
    """For each part whether all its outputs since `clear` were finite, as tensors on the device."""

    def __init__(self) -> None:
        self._flags: list[tuple[Encoder | Projector, str, Tensor]] = []

    def clear(self) -> None:
        """Forget all outputs."""
        self._flags = []

    @torch.no_grad()
    def note(self, part: Encoder | Projector, network: str, outputs: Sequence[Tensor]) -> None:
        """Note the outputs of a part's network."""
        finite = torch.stack([output.isfinite().all() for output in outputs]).all()
        self._flags.append((part, network, finite))

    def culprit(self) -> str:
        """Return the first part whose output was not finite, as a text; empty if all were."""
        for part, network, finite in self._flags:
            if not bool(finite):
                return f"the {network} of {named(part)} returned values that are not finite"
        return ""
