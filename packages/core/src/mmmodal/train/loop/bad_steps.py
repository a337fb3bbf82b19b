"""Skip steps whose loss or gradients are not finite; stop after too many, or if all were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmmodal.errors import TrainingError
from mmmodal.ranks import collective_device, everyones

__all__ = ["BadSteps"]


class BadSteps:
    """Detect steps that must not change the weights; stop after too many consecutive ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_a_row = 0
        """Bad steps since the last good one."""

        self.applied = 0
        """Steps that changed the weights."""

        self._rows: list[str] = []
        self._mine = False
        self._anyones = False
        self._flags: list[tuple[Tensor, Tensor]] = []

    def begin(self, rows: Sequence[str]) -> None:
        """Begin a step with the given rows on this rank."""
        self._rows = list(rows)
        self._flags = []

    def spread(self, loss: Tensor) -> Tensor:
        """Return a loss that is NaN on every rank if it is bad on any, so that all skip the step.

        The loss of a step without usable rows is bad too. Nothing is copied from the device; the
        cause is read after the step.
        """
        mine = (~torch.isfinite(loss.detach())).float()
        flags = torch.stack([mine, torch.full_like(mine, bool(self._rows))])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            flags = flags.to(collective_device())
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        anyones = torch.maximum(flags[0], 1 - flags[1])
        self._flags.append((mine, anyones))
        return loss * torch.where(anyones.to(loss.device) > 0, torch.nan, 1.0)

    def loss_was_bad(self) -> bool:
        """Return whether the loss of any batch of the step was bad, on any rank."""
        self._mine = any(bool(mine) for mine, _ in self._flags)
        self._anyones = any(bool(anyones) for _, anyones in self._flags)
        return self._anyones

    def good(self) -> None:
        """Record that a step changed the weights."""
        self.in_a_row = 0
        self.applied += 1

    def bad(self, culprit: str = "") -> dict[str, Any]:
        """Record a bad step; return its entry for the metrics, which is equal on all ranks.

        `culprit` says which part returned values that are not finite, on this rank.
        """
        self.in_a_row += 1
        theirs = self._rows if self._mine or not self._anyones else []
        rows = [row for part in everyones(theirs) for row in part]
        reason = f"{'the loss' if self._anyones else 'a gradient'} is not finite"
        if at_fault := next(filter(None, everyones(culprit)), ""):
            reason += f", as {at_fault}"
        if not any(everyones(len(self._rows))):
            reason = "none of its rows can be used"
        return {"skipped_step": reason, "rows": rows}

    def check_applied(self, steps: int, notes: Sequence[Mapping[str, Any]]) -> None:
        """Check at the end of a training of some steps that one changed the weights.

        `notes` are the entries of the bad steps in the metrics.

        Raises:
            TrainingError: all were skipped; the error tells the cause of the last.
        """
        if self.applied or not steps:
            return
        last = notes[-1] if notes else {"skipped_step": "its gradients are not finite", "rows": []}
        raise TrainingError(
            "every step was skipped, so that nothing was learned and no model is written; in the "
            f"last of {steps}, {last['skipped_step']} ({_named(last['rows'])}). Mend that, then "
            "start again with --fresh"
        )

    def stop_if_too_many(self, step: int, note: dict[str, Any]) -> None:
        """Raise an error if the number of consecutive bad steps has reached the limit.

        Raises:
            TrainingError: it has; the error names the rows of the last step.
        """
        if self.in_a_row >= self._limit:
            before = self.in_a_row - 1
            steps = "the step" if before == 1 else f"the {before} steps"
            too = f", as in {steps} before it" if before else ""
            raise TrainingError(
                f"step {step}: {note['skipped_step']}{too} ({_named(note['rows'])}); the step was "
                "skipped. Check the rows, or lower learning_rate; the checkpoints hold the weights "
                "from before"
            )

    @staticmethod
    def message(step: int, note: dict[str, Any]) -> str:
        """Return a line of text about a bad step."""
        return (
            f"Step {step} is skipped: {note['skipped_step']} ({_named(note['rows'])}); the weights "
            "and the optimizer are unchanged."
        )


def _named(rows: Sequence[str]) -> str:
    shown = ", ".join(rows[:4])
    more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
    return f"rows {shown}{more}" if rows else "no rows"
