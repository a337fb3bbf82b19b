"""transformers' Trainer with checkpoints of what trains, and talk on stderr and in a file."""

from __future__ import annotations

import functools
import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from mmmodal.train.mixture_sampler import MixtureSampler
from mmmodal.train.rates import set_rates
from mmmodal.train.trainable import read_trained, trained_state, write_trained

__all__ = ["Interruption", "MetricsFile", "ProgressBar", "StageTrainer"]


class StageTrainer(Trainer):
    """Save and load the weights that train, not the whole model, in checkpoints of a run."""

    def __init__(
        self, *args: Any, learning_rates: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._learning_rates = learning_rates or {}
        for noisy in (ProgressCallback, PrinterCallback):
            self.remove_callback(noisy)  # they print results to stdout

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Make the optimizer, with the learning rate of each part."""
        is_new = self.optimizer is None
        super().create_optimizer(model)
        optimizer: Any = self.optimizer
        whole: Any = model or self.model
        if is_new and self._learning_rates:
            set_rates(optimizer, whole, self._learning_rates)
        return optimizer  # type: ignore[no-any-return]

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Go through the records in the order of their mixture."""
        dataset: Any = train_dataset or self.train_dataset
        return MixtureSampler(dataset.mixture)

    @property
    def model_wrapped(self) -> Any:
        """The model as the ranks run it: with DeepSpeed its engine."""
        return self._model_wrapped

    @model_wrapped.setter
    def model_wrapped(self, value: Any) -> None:
        if hasattr(value, "load_checkpoint") and not hasattr(value, "saves_what_trains"):
            _save_what_trains(value)
        self._model_wrapped = value

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        model = self.accelerator.unwrap_model(self.model)
        if self.args.should_save:
            write_trained(
                trained_state(model, state_dict), Path(str(output_dir or self.args.output_dir))
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        whole: Any = model or self.model
        target = dict(whole.named_parameters())
        with torch.no_grad():
            for name, value in read_trained(Path(resume_from_checkpoint)).items():
                target[name].copy_(value)


def _save_what_trains(engine: Any) -> None:
    """Leave frozen weights out of a DeepSpeed engine's checkpoints: the input folder has them.

    transformers asks for that with PEFT alone, and gives no way to ask for it otherwise.
    """
    load = engine.load_checkpoint

    def load_checkpoint(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **{**kwargs, "load_module_strict": False})

    engine.save_checkpoint = functools.partial(
        engine.save_checkpoint, exclude_frozen_parameters=True
    )
    engine.load_checkpoint = load_checkpoint
    engine.saves_what_trains = True


class ProgressBar(TrainerCallback):
    """One updating line on stderr with the loss."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the bar, from where a resumed run goes on."""
        if state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move on by what was done."""
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
        """Show the newest loss."""
        if self._bar is not None and logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.4f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the finished bar."""
        self.close()

    def close(self) -> None:
        """End the bar's line, so that an error stands on its own."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class MetricsFile(TrainerCallback):
    """Append every log of the Trainer to a JSONL file."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
            row = {"step": state.global_step, "seconds": round(time.monotonic() - self._start, 3)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, **logs}) + "\n")


class Interruption(TrainerCallback):
    """End after the running step, with a checkpoint, on Ctrl-C or SIGTERM; at once on a second."""

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
        """Ask for a checkpoint and the end, on all ranks when any was told."""
        if self._anyone_was_told():
            control.should_save = True
            control.should_training_stop = True

    def _anyone_was_told(self) -> bool:
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return self.signal is not None
        told = torch.tensor([self.signal or 0], device=_collective_device())
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        if int(told):
            self.signal = int(told)
        return self.signal is not None


def _collective_device() -> str:
    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
