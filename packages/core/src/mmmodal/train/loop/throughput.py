"""Measure the throughput of a run, the utilisation of its batches, and the time spent waiting."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from mmmodal.ranks import ranks, summed
from mmmodal.train.loop.overrides import OverriddenTrainer

__all__ = ["MeteredTrainer", "Throughput"]


class Throughput:
    """Count the tokens of batches and the time spent waiting for them, between logs.

    Values on a GPU are read only for a log, so that counting does not wait for the GPU.
    """

    def __init__(self, room: int | None = None) -> None:
        """Start counting; `room` is the capacity of a batch in tokens, by default its size."""
        self._room = room
        self._begin()

    def _begin(self) -> None:
        self._since = time.perf_counter()
        self._tokens: list[int | Tensor] = []
        self._places = 0
        self._waited = 0.0

    def count(self, batches: Iterable[Mapping[str, Any]], waited: float) -> None:
        """Add batches, for which the run waited `waited` seconds."""
        for batch in batches:
            ids, mask = batch["input_ids"], batch.get("attention_mask")
            self._tokens.append(ids.numel() if mask is None else mask.sum())
            self._places += self._room or ids.numel()
        self._waited += waited

    def pause(self, seconds: float) -> None:
        """Leave out a time in which nothing was trained."""
        self._since += seconds

    def figures(self) -> dict[str, float]:
        """Return the figures of all ranks, and start again.

        `tokens_per_second` counts the tokens of all ranks without padding; `utilisation` is their
        share of the batches' capacity; `waiting_seconds` is the mean over ranks.
        """
        tokens = summed(float(sum(int(count) for count in self._tokens)))
        places, waited = summed(self._places), summed(self._waited) / ranks()
        seconds = time.perf_counter() - self._since
        self._begin()
        return {
            "tokens_per_second": round(tokens / seconds, 1),
            "utilisation": round(tokens / places, 4) if places else 0.0,
            "waiting_seconds": round(waited, 4),
        }


class MeteredTrainer(OverriddenTrainer):
    """Add the throughput to every log of the loss."""

    def __init__(self, *args: Any, room: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = room
        self._throughput: Throughput | None = None

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """Return the batches of one step, and measure the time."""
        if self._throughput is None:  # the first step
            self._throughput = Throughput(self._room)
        start = time.perf_counter()
        batches, count = super().get_batch_samples(*args, **kwargs)
        self._throughput.count(batches, time.perf_counter() - start)
        return batches, count

    def pause(self, seconds: float) -> None:
        """Leave a time out of the throughput."""
        if self._throughput is not None:
            self._throughput.pause(seconds)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the figures since the last log together with the loss."""
        if "loss" in logs and self._throughput is not None:
            logs = {**logs, **self._throughput.figures()}
        super().log(logs, start_time)
