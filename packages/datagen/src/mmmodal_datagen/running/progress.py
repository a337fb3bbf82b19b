"""What the user sees while a pipeline runs: one line for each step, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from mmmodal_datagen.replay.models import Meter
from mmmodal_datagen.running.shards import Done

__all__ = ["Progress"]

LINES_S = 30.0
"""Seconds between lines where no terminal shows them."""


class Progress:
    """The progress of one step, in shards, with the rows made and refused so far."""

    def __init__(self, step: str, shards: int, finished: int, meter: Meter | None) -> None:
        self._meter = meter
        self._rows = self._rejected = self._failed = 0
        self._begun = time.monotonic()
        live = sys.stderr.isatty()
        self._bar: Any = tqdm(
            desc=step,
            total=shards,
            initial=finished,
            unit="shard",
            mininterval=0.1 if live else LINES_S,
            dynamic_ncols=live,
            file=sys.stderr,
            leave=True,
        )

    def done(self, done: Done) -> None:
        """Count a finished shard."""
        self._rows += done.rows
        self._rejected += done.rejected
        self._failed += done.failed
        worked = self._rows + self._rejected + self._failed
        counts: dict[str, Any] = {
            "rows": self._rows,
            "rejected": self._rejected,
            "failed": self._failed,
            "rows/s": f"{worked / max(time.monotonic() - self._begun, 1e-3):.1f}",
        }
        if self._meter is not None and self._meter.calls + self._meter.replayed:
            counts["asked"] = self._meter.calls
            counts["replayed"] = self._meter.replayed
            counts["tokens"] = self._meter.input_tokens + self._meter.output_tokens
            if self._meter.cost:
                counts["cost"] = f"{self._meter.cost:.2f}"
        self._bar.set_postfix(counts, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """End the line."""
        self._bar.close()
