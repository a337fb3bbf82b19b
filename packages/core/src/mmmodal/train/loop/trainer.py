"""transformers' Trainer with safe checkpoints and exact resumption."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from mmmodal.model.values import FiniteValues
from mmmodal.ranks import of_first, rank, ranks
from mmmodal.train.loop.bad_samples import BAD, ROWS, Skipped
from mmmodal.train.loop.bad_steps import BadSteps
from mmmodal.train.loop.best_step import BestStep
from mmmodal.train.loop.deepspeed_engine import prepare_engine
from mmmodal.train.loop.evaluation import LOSS, PREFIX, Evaluation
from mmmodal.train.loop.feed import Feed
from mmmodal.train.loop.throughput import MeteredTrainer
from mmmodal.train.loop.trainable import read_trained, set_rates, trained_state, write_trained
from mmmodal.train.recipe import Recipe
from mmmodal.train.run.checkpoints import Checkpoints
from mmmodal.train.run.folder import METRICS
from mmmodal.train.run.journal import Journal

__all__ = ["StageTrainer"]


class StageTrainer(MeteredTrainer):
    """Train a stage: with its own order of rows, and checkpoints that are valid only when complete.

    Checkpoints hold the trained weights only. A step that is not finite changes no weights.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        run: Path,
        feed: Feed,
        checkpoints: Checkpoints,
        skipped: Skipped,
        evaluation: Evaluation | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            train_dataset=feed.dataset,
            data_collator=feed.collate,
            room=feed.room,
            **kwargs,
        )
        self._feed = feed
        self._learning_rates = dict[str, float](recipe.train.learning_rates.items())
        for noisy in (ProgressCallback, PrinterCallback):
            self.remove_callback(noisy)  # these print to stdout
        self._checkpoints = checkpoints
        self._skipped = skipped
        self._bad_steps = BadSteps(recipe.nan_limit)
        self._finite = FiniteValues()
        perception: Any = self.model
        perception.model.finite = self._finite
        self._evaluation = evaluation
        self.best = BestStep(recipe, run, evaluation, checkpoints)
        self._metrics = Journal(run / METRICS)
        self._rows = Journal(run / f"rows-{rank()}.jsonl") if recipe.note_rows else None

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimizer, with the learning rate of each part."""
        is_new = self.optimizer is None
        super().create_optimizer(model)
        optimizer, whole = cast(torch.optim.Optimizer, self.optimizer), cast(Any, self.model)
        if is_new and self._learning_rates:
            set_rates(optimizer, model or whole, self._learning_rates)
        return optimizer

    @property
    def model_wrapped(self) -> Any:
        """The model that the ranks run; with DeepSpeed its engine."""
        return self._model_wrapped

    @model_wrapped.setter
    def model_wrapped(self, value: Any) -> None:
        if hasattr(value, "load_checkpoint"):
            prepare_engine(value)
        self._model_wrapped = value

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the data loader of this rank; the feed has split the data over ranks already."""
        return self._feed.loader(self.args)

    def began(self, max_steps: int) -> None:
        """Use the current intervals; a resumed run would use those of its beginning."""
        self.state.compute_steps(self.args, max_steps)

    def begin_epoch(self, resumed: Path | None) -> bool:
        """Restore the values of a checkpoint that transformers does not save."""
        if resumed is not None:
            self._restore_sums(resumed)
        self._evaluate_if_missing()
        return self.state.global_step < self.state.max_steps  # else killed after its last one

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """Return the batches of one step, and record their rows."""
        batches, count = super().get_batch_samples(*args, **kwargs)
        step = self.state.global_step + 1
        rows: list[str] = []
        for batch in batches:
            self._feed.took(batch)
            rows += batch.pop(ROWS)
            self._skipped.note(step, batch.pop(BAD))
        if self._rows is not None:
            self._rows.note(step, {"rows": rows})
        self._bad_steps.begin(rows)
        self._finite.clear()
        self._loss_before = self._tr_loss.clone()
        return batches, count

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the loss of a batch, which is not finite if that of any rank is not."""
        above: Any = super()
        inputs = {**inputs, "skip_logits": model.training}  # logits would take most of the memory
        return self._bad_steps.spread(above.compute_loss(model, inputs, *args, **kwargs))

    def clipped(self, model: Any, norm: Any) -> None:
        """Skip a step whose loss or gradients are not finite."""
        finite = self._has_finite_gradients(norm)
        # In fp16 an overflow only lowers the loss scale.
        if self._bad_steps.loss_was_bad() or not (finite or self.args.fp16):
            self._skip(model)
        elif finite:
            self._bad_steps.good()

    def _has_finite_gradients(self, norm: Any) -> bool:
        if self.is_deepspeed_enabled:
            return not self.accelerator.optimizer_step_was_skipped
        return math.isfinite(float(norm))

    def check_applied(self, resumed: Path | None) -> None:
        """Check that a step of the whole run changed the weights.

        `resumed` is the checkpoint from which the run resumed; it may be that of the last step,
        so that no step was left to train.

        Raises:
            TrainingError: all were skipped.
        """
        if resumed is not None and not self._bad_steps.applied:
            self._restore_sums(resumed)
        notes = [row for row in self._metrics.rows() if "skipped_step" in row]
        self._bad_steps.check_applied(self.state.global_step, notes)

    def _skip(self, model: Any) -> None:
        """Skip the update of weights and optimizer, and leave the loss out of the logs."""
        if self.is_deepspeed_enabled:  # DeepSpeed has skipped the step itself
            self.lr_scheduler.step()  # type: ignore[union-attr]  # as without it
        else:
            model.zero_grad()  # sets gradients to None, which optimizers ignore
        self._tr_loss.copy_(self._loss_before)
        self._globalstep_last_logged += 1
        step = self.state.global_step + 1
        note = self._bad_steps.bad(self._finite.culprit())
        if self.is_world_process_zero():
            self._metrics.note(step, note)
            print(self._bad_steps.message(step, note), file=sys.stderr)
        self._bad_steps.stop_if_too_many(step, note)

    @contextlib.contextmanager
    def checkpoint_folder(self, step: int) -> Iterator[Path]:
        """Yield the folder of a checkpoint, which is valid only after the block."""
        with self._checkpoints.writing(step) as folder:
            yield folder
            self._feed.save(folder)
            (folder / f"sums-{rank()}.json").write_text(json.dumps(self._sums()), encoding="utf-8")

    def _evaluate_if_missing(self) -> None:
        """Evaluate the model before its first step, or after one of which a signal has left it."""
        step = self.state.global_step
        if self._evaluation is None or not self._evaluation.is_due(step, self.state.max_steps):
            return
        known = (row["step"] for row in self._metrics.rows() if f"{PREFIX}{LOSS}" in row)
        if not of_first(step in known):
            seconds = self.evaluate()[f"{PREFIX}seconds"]
            if self.is_world_process_zero():
                more = -(-(self.state.max_steps - step) // self._evaluation.every)
                print(f"An evaluation takes {seconds:.1f} s; {more:,} more follow", file=sys.stderr)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the figures of held-out records, and log them; training goes on as without it.

        A checkpoint is requested if no step before was better by `keep_best`.

        Raises:
            RecordError: a record cannot be used, and bad rows are not skipped.
        """
        assert self._evaluation is not None
        step, start = self.state.global_step, time.perf_counter()
        wrapped = self.model_wrapped if self.is_deepspeed_enabled else self.model
        figures, bad = self._evaluation.run(self.model, wrapped)
        if self._skipped.refuses or self.is_world_process_zero():
            self._skipped.note(step, bad)
        seconds = time.perf_counter() - start
        self.pause(seconds)
        logs = {f"{PREFIX}{name}": value for name, value in figures.items()}
        logs[f"{PREFIX}seconds"] = round(seconds, 3)
        self.log({**logs})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, logs)
        if self.best.after_evaluation(step):
            self.control.should_save = True
        return logs

    def _sums(self) -> dict[str, Any]:
        """Return the running sums that transformers does not save."""
        return {
            "loss": float(self._tr_loss),  # since the last log; JSON keeps it exactly
            "logged": self._globalstep_last_logged,
            "bad_steps": self._bad_steps.in_a_row,
            "applied": self._bad_steps.applied,
        }

    def _restore_sums(self, checkpoint: Path) -> None:
        texts = {path.name: path.read_text("utf-8") for path in checkpoint.glob("sums-*.json")}
        sums = {name: json.loads(text) for name, text in texts.items()}
        # Other ranks get the mean of their sums, which is enough as logs are means over ranks.
        mean = sum(row["loss"] for row in sums.values()) / len(sums)
        mine = sums[f"sums-{rank() if len(sums) == ranks() else 0}.json"]
        self._tr_loss.fill_(mine["loss"] if len(sums) == ranks() else mean)
        self._globalstep_last_logged = mine["logged"]
        self._bad_steps.in_a_row = mine["bad_steps"]
        self._bad_steps.applied = mine.get("applied", self.state.global_step)  # older ones lack it

    def write_weights(self, folder: Path, state: Mapping[str, Tensor] | None) -> None:
        """Write the trained weights, not the whole model."""
        write_trained(trained_state(self.accelerator.unwrap_model(self.model), state), folder)

    def read_weights(self, folder: Path, model: Any) -> None:
        """Load the trained weights."""
        target = dict(model.named_parameters())
        for name, value in read_trained(folder).items():
            target[name].copy_(value)
