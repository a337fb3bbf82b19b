"""Evaluate a model between two steps of its training, on records that are not trained on."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tqdm import tqdm

from mmmodal.contracts.evaluator import Better, Evaluator, HeldOut
from mmmodal.errors import ConfigError
from mmmodal.model.zero3 import is_partitioned
from mmmodal.ranks import alone, everyones, rank, ranks
from mmmodal.train.loop.bad_samples import BadSample
from mmmodal.train.loop.held_out_loss import HeldOutLoss
from mmmodal.train.loop.isolation import isolated

__all__ = ["LOSS", "PREFIX", "Evaluation", "metrics_of"]

LOSS = "loss"
"""The metric of every evaluation; those of answers come from evaluators."""

PREFIX = "eval_"
"""The prefix of metrics in logs, as in transformers."""


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, how, and when."""

    loss: HeldOutLoss
    held_out: Sequence[HeldOut]
    evaluators: Sequence[Evaluator]
    metrics: Mapping[str, Better]
    """The names of all figures, and which figure is the better one."""

    every: int
    """The number of steps between evaluations."""

    max_new_tokens: int
    seed: int
    autocast: torch.dtype | None
    """The precision of autocast in training."""

    left_out: set[str] = field(default_factory=set)
    """The rows that were left out so far, as they cannot be used."""

    def is_due(self, step: int, last: int) -> bool:
        """Return whether the model is evaluated after a step: also before the first."""
        return step % self.every == 0 or step == last

    def run(self, model: Any, wrapped: Any) -> tuple[dict[str, float], list[BadSample]]:
        """Return the figures, equal on all ranks, and the rows that were left out the first time.

        The state of the model and all random numbers are afterwards as before.

        Args:
            model: the model.
            wrapped: the model as DeepSpeed runs it, or the same model.
        """
        kind = next(model.parameters()).device.type
        total = (1 + len(self.evaluators)) * len(self.held_out)
        bar = tqdm(None, "Evaluating", total, leave=False, unit="record", disable=rank() != 0)
        finite, model.model.finite = model.model.finite, None
        try:
            with (
                bar,
                isolated(wrapped, self.seed),
                torch.autocast(kind, self.autocast, enabled=self.autocast is not None),
                # ZeRO-3 gathers weights for all ranks together, so all compute the same.
                alone() if is_partitioned(model) else contextlib.nullcontext(),
            ):
                # The other ranks are about as far.
                figures, bad = self._figures(model, wrapped, lambda n: bar.update(n * ranks()))
        finally:
            model.model.finite = finite
        return figures, self._first_time(bad)

    def _figures(
        self, model: Any, wrapped: Any, progress: Callable[[int], Any]
    ) -> tuple[dict[str, float], list[BadSample]]:
        loss, bad = self.loss.measure(wrapped, progress)
        figures = {**dict.fromkeys(self.metrics, math.nan), LOSS: loss}
        for evaluator in self.evaluators:
            counts = evaluator.tally(model, max_new_tokens=self.max_new_tokens, progress=progress)
            for metric, totals in _totals(everyones(counts)).items():
                figures[metric] = evaluator.figure(metric, totals)
        return figures, bad

    def _first_time(self, bad: Iterable[BadSample]) -> list[BadSample]:
        new = [each for each in bad if each.where not in self.left_out]
        self.left_out.update(each.where for each in new)
        return new


def metrics_of(evaluators: Sequence[Evaluator], held_out: Sequence[HeldOut]) -> dict[str, Better]:
    """Return the names of the loss and all figures of answers, and which figure is the better one.

    The evaluators take the records.

    Raises:
        MMModalError: a record cannot be evaluated, or two evaluators have a metric of one name.
    """
    found: dict[str, Better] = {LOSS: "lower"}
    for evaluator in evaluators:
        own = evaluator.begin(held_out)
        if twice := sorted(found.keys() & own.keys()):
            reason = f"'evaluators': {evaluator.name} has a metric {twice[0]!r}, as another has"
            raise ConfigError("recipe", [f"{reason}; choose one"])
        found.update(own)
    return found


def _totals(
    shares: Iterable[Mapping[str, Sequence[float]]],
) -> dict[str, list[float]]:
    """Return the sums of the counts of all ranks for each metric."""
    counts: dict[str, list[Sequence[float]]] = {}
    for share in shares:
        for metric, found in share.items():
            counts.setdefault(metric, []).append(found)
    return {
        metric: [math.fsum(column) for column in zip(*rows, strict=True)]
        for metric, rows in counts.items()
    }
