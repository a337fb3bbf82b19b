"""The checkpoints of a run: each is written to a temporary folder, sealed and renamed.

transformers' Trainer writes the files of a checkpoint into its final folder, so that a killed
process leaves an incomplete folder that looks like a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal.errors import CheckpointError, MMModalError
from mmmodal.files import sync
from mmmodal.ranks import of_first, rank, ranks, wait
from mmmodal.train.run.disk import why_not_written
from mmmodal.train.run.manifest import read_facts, seal, what_is_wrong

__all__ = ["Checkpoint", "Checkpoints"]

NAME = re.compile(r"checkpoint-(\d+)")
"""The name of a complete checkpoint, as in transformers, with its step."""

WRITING, REMOVING, DAMAGED = ".writing", ".removing", "damaged-"
"""The names of folders being written or removed, and the prefix of damaged checkpoints."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    folder: Path
    step: int


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, *, keep: int, deepspeed: bool) -> None:
        self._folder = folder
        self._keep = keep
        self.best: int | None = None
        """The step whose checkpoint is kept besides the newest ones."""

        self._facts = {"ranks": ranks(), "deepspeed": deepspeed}

    def newest(self) -> Checkpoint | None:
        """Return the newest intact checkpoint; rename newer ones, and print the reason.

        Raises:
            CheckpointError: these processes cannot resume from it.
        """
        found: Checkpoint | None = of_first(self._find() if rank() == 0 else None)
        if found is not None:
            self._check(found, read_facts(found.folder))
        return found

    def steps(self) -> set[int]:
        """Return the steps of which there is a checkpoint."""
        return {checkpoint.step for checkpoint in self._all()}

    def intact(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of a step; rename a damaged one, print the reason, return None."""
        checkpoint = Checkpoint(self._folder / f"checkpoint-{step}", step)
        reason = what_is_wrong(checkpoint.folder)
        if reason is not None:
            self._set_aside(checkpoint, reason)
        return None if reason is not None else checkpoint

    @contextlib.contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Yield the folder of a checkpoint's files on every rank; it is valid only after the block.

        Raises:
            CheckpointError: it cannot be written; earlier checkpoints are unchanged.
        """
        working = self._folder / WRITING
        folder = working / f"checkpoint-{step}"
        try:
            if rank() == 0:
                shutil.rmtree(working, ignore_errors=True)
                folder.mkdir(parents=True)
            wait()
            yield folder
            wait()  # all ranks have written their files
            if rank() == 0:
                seal(folder, {"step": step, **self._facts})
                self._publish(folder)
            wait()
        except MMModalError:
            raise
        except Exception as error:  # the errors of torch and safetensors have no common class
            reason = why_not_written(error, self._folder)
            shutil.rmtree(working, ignore_errors=True)
            if reason is None:
                raise
            raise CheckpointError(self._refusal(step, reason)) from error

    def _publish(self, folder: Path) -> None:
        """Rename a sealed folder, then remove old checkpoints."""
        target = self._folder / folder.name
        if target.exists():
            self._remove(target)
        folder.rename(target)
        sync(self._folder)
        folder.parent.rmdir()
        for old in self._all()[: -self._keep]:
            if old.step != self.best:
                self._remove(old.folder)

    def _remove(self, folder: Path) -> None:
        """Remove a folder so that a partly removed one never looks like a checkpoint."""
        aside = self._folder / REMOVING
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside)

    def _all(self) -> list[Checkpoint]:
        """Return all folders that look like checkpoints, the oldest first."""
        if not self._folder.is_dir():
            return []
        matches = ((path, NAME.fullmatch(path.name)) for path in self._folder.iterdir())
        found = [Checkpoint(path, int(match[1])) for path, match in matches if match]
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def _find(self) -> Checkpoint | None:
        for leftover in (WRITING, REMOVING):
            shutil.rmtree(self._folder / leftover, ignore_errors=True)
        for checkpoint in reversed(self._all()):
            reason = what_is_wrong(checkpoint.folder)
            if reason is None:
                return checkpoint
            self._set_aside(checkpoint, reason)
        return None

    def _set_aside(self, checkpoint: Checkpoint, reason: str) -> None:
        name = f"{DAMAGED}{checkpoint.folder.name}"
        shutil.rmtree(self._folder / name, ignore_errors=True)
        os.rename(checkpoint.folder, self._folder / name)
        print(
            f"The checkpoint of step {checkpoint.step} is damaged ({reason}) and was renamed to "
            f"{self._folder / name}; the one before is used.",
            file=sys.stderr,
        )

    def _check(self, checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
        """Raise a CheckpointError if a checkpoint does not fit the current DeepSpeed settings."""
        was, now = bool(facts.get("deepspeed")), bool(self._facts["deepspeed"])
        if was != now:
            raise CheckpointError(
                f"{checkpoint.folder} was written {'with' if was else 'without'} DeepSpeed and can "
                f"only be resumed so; set `deepspeed` as before, or start again with --fresh"
            )
        if was and facts.get("ranks") != self._facts["ranks"]:
            raise CheckpointError(
                f"{checkpoint.folder} was written by {facts.get('ranks')} processes with "
                f"DeepSpeed, which cannot resume with {self._facts['ranks']}; start as many as "
                "before, or start again with --fresh"
            )

    def _refusal(self, step: int, reason: str) -> str:
        before = self._all()
        consequence = (
            f"resume from step {before[-1].step}"
            if before
            else "start from the beginning, as there is no earlier checkpoint"
        )
        return (
            f"the checkpoint of step {step} could not be written to {self._folder}: {reason}. "
            f"Fix this, and run the same command again to {consequence}"
        )
