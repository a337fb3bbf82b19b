"""The best step of a run by a figure of its evaluations, whose checkpoint is kept."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal.contracts.evaluator import Better
from mmmodal.ranks import of_first, rank
from mmmodal.train.loop.evaluation import LOSS, PREFIX, Evaluation
from mmmodal.train.recipe import Recipe
from mmmodal.train.run.checkpoints import Checkpoint, Checkpoints
from mmmodal.train.run.folder import METRICS
from mmmodal.train.run.journal import Journal

__all__ = ["BestStep", "Evaluated", "best_of"]


@dataclass(frozen=True)
class Evaluated:
    """A step and its figure."""

    step: int
    value: float


def best_of(
    rows: Iterable[Mapping[str, Any]], metric: str, better: Better, steps: Collection[int]
) -> Evaluated | None:
    """Return the step with the best figure among some steps; of equal figures, the first.

    Rows without the figure, or where it was not finite, do not count.
    """
    values = {row["step"]: row[metric] for row in rows if row.get(metric) is not None}
    found = [Evaluated(step, value) for step, value in values.items() if step in steps]
    sign = 1 if better == "higher" else -1
    return max(found, key=lambda each: sign * each.value, default=None)


class BestStep:
    """The best step of a run so far, or nothing if the recipe keeps the last one."""

    def __init__(
        self, recipe: Recipe, run: Path, evaluation: Evaluation | None, checkpoints: Checkpoints
    ) -> None:
        self.metric = f"{PREFIX}{recipe.keep_best}" if recipe.keep_best else None
        """The metric in the logs."""

        metrics = evaluation.metrics if evaluation is not None else {}
        self._better: Better = metrics.get(recipe.keep_best or LOSS, "lower")
        self._journal = Journal(run / METRICS)
        self._checkpoints = checkpoints
        self.find()

    def find(self, *more: int) -> Evaluated | None:
        """Return the best step with a checkpoint, or of `more`, and keep its checkpoint."""
        if self.metric is None:
            return None
        found: Evaluated | None = of_first(self._find(more) if rank() == 0 else None)
        self._checkpoints.best = found.step if found is not None else None
        return found

    def _find(self, more: Iterable[int]) -> Evaluated | None:
        steps = {*self._checkpoints.steps(), *more} - {0}
        return best_of(self._journal.rows(), str(self.metric), self._better, steps)

    def after_evaluation(self, step: int) -> bool:
        """Return whether a step, which has just been evaluated, is the best so far."""
        found = self.find(step)
        return found is not None and found.step == step

    def settle(self, last: int) -> tuple[Evaluated | None, Checkpoint | None]:
        """Return the best step of a finished run, and its checkpoint if it is not the last step.

        A damaged checkpoint is renamed, and the best of the others is returned.
        """
        while (found := self.find(last)) is not None and found.step != last:
            checkpoint = of_first(self._checkpoints.intact(found.step) if rank() == 0 else None)
            if checkpoint is not None:
                return found, checkpoint
        return found, None

    def tell(self, kept: Evaluated | None, last: int) -> None:
        """Print which step's weights are written, and whether those before training were better."""
        if self.metric is None or rank() != 0:
            return
        if kept is None:
            print(f"No evaluation has a finite {self.metric}: step {last} is kept", file=sys.stderr)
            return
        print(
            f"The best step by {self.metric} is {kept.step} of {last} ({kept.value:.4g}); the "
            "result has its weights",
            file=sys.stderr,
        )
        start = best_of(self._journal.rows(), self.metric, self._better, {0, kept.step})
        if start is not None and start.value != kept.value:
            print(f"Before training it was better: {start.value:.4g}", file=sys.stderr)
