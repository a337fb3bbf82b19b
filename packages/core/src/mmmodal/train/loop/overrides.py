"""Override private methods of transformers' Trainer; subclasses use the hooks of this module.

transformers may change these methods in any version. `OVERRIDDEN` lists them, and a test compares
it with the installed version.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

__all__ = ["OVERRIDDEN", "OverriddenTrainer"]

OVERRIDDEN = {
    "_clip_grad_norm": ("model",),
    "_get_output_dir": ("trial",),
    "_init_training_state": ("max_steps",),
    "_load_from_checkpoint": ("resume_from_checkpoint", "model"),
    "_run_epoch": ("resume_from_checkpoint", "epoch", "epochs_trained"),
    "_save": ("output_dir", "state_dict"),
    "_save_checkpoint": ("model", "trial"),
}
"""Each overridden method, with the parameters that are used here."""


class OverriddenTrainer(Trainer):
    """transformers' Trainer with hooks, which by default do what the Trainer does."""

    _saving_in: Path | None = None

    def began(self, max_steps: int) -> None:
        """Handle the start of a run, once its state is new or loaded."""

    def begin_epoch(self, resumed: Path | None) -> bool:
        """Return whether the epoch has steps left to train.

        Args:
            resumed: the checkpoint from which the run resumes, in the epoch where it does.
        """
        return True

    def clipped(self, model: Any, norm: Any) -> None:
        """Handle the gradients, with their norm, before the weights change."""

    @contextlib.contextmanager
    def checkpoint_folder(self, step: int) -> Iterator[Path]:
        """Yield the folder for a checkpoint's files, which are written inside the block."""
        yield Path(str(self.args.output_dir), f"checkpoint-{step}")

    @abstractmethod
    def write_weights(self, folder: Path, state: Mapping[str, Tensor] | None) -> None:
        """Write weights to a folder; `state` has them if they are partitioned over ranks."""

    @abstractmethod
    def read_weights(self, folder: Path, model: Any) -> None:
        """Load weights that `write_weights` wrote into a model."""

    def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> tuple[int, int]:
        position: tuple[int, int] = super()._init_training_state(max_steps, *args, **kwargs)
        self.began(max_steps)
        return position

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        resumed = kwargs["resume_from_checkpoint"]
        goes_on = resumed is not None and kwargs["epoch"] == kwargs["epochs_trained"]
        if not self.begin_epoch(Path(resumed) if goes_on else None):
            self.control.should_training_stop = True
            return
        above: Any = super()
        above._run_epoch(*args, **kwargs)

    def _clip_grad_norm(self, model: Any) -> Any:
        above: Any = super()
        norm = above._clip_grad_norm(model)
        self.clipped(model, norm)
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.checkpoint_folder(self.state.global_step) as folder:
            self._saving_in = folder.parent
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._saving_in = None

    def _get_output_dir(self, trial: Any) -> str:
        folder: str = super()._get_output_dir(trial)
        return folder if self._saving_in is None else str(self._saving_in)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.should_save:
            self.write_weights(Path(str(output_dir or self.args.output_dir)), state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with torch.no_grad():
            self.read_weights(Path(resume_from_checkpoint), model or self.model)
