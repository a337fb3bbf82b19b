"""Steps whose loss or gradients are not finite: skipped and named, and too many in a row end it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmmodal.errors import TrainingError
from mmmodal.ranks import collective_device, everyones

__all__ = ["BadSteps"]


class BadSteps:
    """Find the steps that must not change the weights; stop after too many in a row."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_a_row = 0
        """Bad steps since the last good one."""

        self._rows: list[str] = []
        self._mine = False
        self._anyones = False
        self._flags: list[tuple[Tensor, Tensor]] = []

    def begin(self, rows: Sequence[str]) -> None:
        """Take the rows of a step, on this rank."""
        self._rows = list(rows)
        self._flags = []

    def spread(self, loss: Tensor) -> Tensor:
        """Make the loss of a batch bad on every rank if it is on any, so that all skip the step.

        So is that of a step without any usable row. Nothing is copied from the device: who was it
        is looked at after the step.
        """
        mine = (~torch.isfinite(loss.detach())).float()
        told = torch.stack([mine, torch.full_like(mine, bool(self._rows))])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            told = told.to(collective_device())
            torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        anyones = torch.maximum(told[0], 1 - told[1])
        self._flags.append((mine, anyones))
        return loss * torch.where(anyones.to(loss.device) > 0, torch.nan, 1.0)

    def was_told(self) -> bool:
        """Return whether the loss of any batch of the step was bad, on any rank."""
        self._mine = any(bool(mine) for mine, _ in self._flags)
        self._anyones = any(bool(anyones) for _, anyones in self._flags)
        return self._anyones

    def good(self) -> None:
        """Take that a step changed the weights."""
        self.in_a_row = 0

    def bad(self) -> dict[str, Any]:
        """Take that a step did not; return what to note of it, the same on every rank."""
        self.in_a_row += 1
        theirs = self._rows if self._mine or not self._anyones else []
        rows = [row for part in everyones(theirs) for row in part]
        reason = f"{'the loss' if self._anyones else 'a gradient'} is not finite"
        if not any(everyones(len(self._rows))):
            reason = "none of its rows can be used"
        return {"skipped_step": reason, "rows": rows}

    def stop_if_too_many(self, step: int, note: dict[str, Any]) -> None:
        """Raise when there were as many bad steps in a row as are allowed.

        Raises:
            TrainingError: there were; it names the rows of the last one.
        """
        if self.in_a_row >= self._limit:
            before = self.in_a_row - 1
            steps = "the step" if before == 1 else f"the {before} steps"
            too = f", as in {steps} before it" if before else ""
            raise TrainingError(
                f"step {step}: {note['skipped_step']}{too} ({_named(note['rows'])}); nothing was "
                "learned from it. Look at the rows, or lower learning_rate; the checkpoints hold "
                "the weights from before"
            )

    @staticmethod
    def said(step: int, note: dict[str, Any]) -> str:
        """Return a line about a bad step."""
        return (
            f"Step {step} is skipped: {note['skipped_step']} ({_named(note['rows'])}); the weights "
            "and the optimizer stay as they were."
        )


def _named(rows: Sequence[str]) -> str:
    shown = ", ".join(rows[:4])
    more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
    return f"rows {shown}{more}" if rows else "no rows"
