"""Callbacks of a training: the progress bar, the file of metrics, interruption by signals."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmmodal.ranks import anyone
from mmmodal.train.loop.evaluation import PREFIX, Evaluation
from mmmodal.train.loop.feed import Feed
from mmmodal.train.run.journal import Journal

__all__ = ["EpochCount", "Interruption", "MetricsFile", "ProgressBar", "Schedule"]

HIDDEN = {"epoch", f"{PREFIX}seconds"}
"""The values of evaluations that the bar does not show."""


class ProgressBar(TrainerCallback):
    """A progress bar on stderr with the loss."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown: dict[str, str] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the bar, from the step where a resumed run continues."""
        if state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest loss, throughput, time spent waiting for data, and evaluation."""
        logs = logs or {}
        if "loss" in logs:
            self._shown |= {
                "loss": f"{float(logs['loss']):.4f}",
                "tokens/s": f"{logs.get('tokens_per_second', 0):,.0f}",
                "waited": f"{logs.get('waiting_seconds', 0):.1f}s",
            }
        figures = {k: v for k, v in logs.items() if k.startswith(PREFIX) and k not in HIDDEN}
        self._shown |= {name: f"{value:.4g}" for name, value in figures.items()}
        if self._bar is not None and self._shown:
            self._bar.set_postfix(self._shown)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """End the line of the bar, so that an error is printed on its own line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class MetricsFile(TrainerCallback):
    """Append every log of the Trainer to a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._start = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if state.is_world_process_zero and logs:
            seconds = round(time.monotonic() - self._start, 3)
            self._journal.note(state.global_step, {"seconds": seconds, **logs})


class Interruption(TrainerCallback):
    """On Ctrl-C or SIGTERM, stop after the current step with a checkpoint; on a second, at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Request a checkpoint and the end of training on all ranks if any rank got a signal.

        An evaluation that is due waits until the run is resumed.
        """
        self.signal = anyone(self.signal or 0) or None
        if self.signal is not None:
            control.should_evaluate = False
            control.should_save = True
            control.should_training_stop = True

    on_evaluate = on_step_end  # a signal may come in a long evaluation


class Schedule(TrainerCallback):
    """Request evaluations."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Request an evaluation if one is due."""
        control.should_evaluate = self._evaluation.is_due(state.global_step, state.max_steps)


class EpochCount(TrainerCallback):
    """Set the true number of epochs, as the Trainer counts a run as one epoch."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Print on stderr how full the packs are."""
        if state.is_world_process_zero and (summary := self._feed.summary()):
            print(summary, file=sys.stderr)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Update the number of epochs."""
        batches = state.global_step * args.gradient_accumulation_steps * args.world_size
        state.epoch = self._feed.epoch_after(batches)
