"""The checkpoints of a run: written beside, sealed, renamed; the newest sound one is gone on from.

transformers' Trainer writes a checkpoint's files where they stay, one after another, so that a
process which is killed leaves a folder that looks like one.
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
"""A whole checkpoint, as transformers names it, with its step."""

WRITING, REMOVING, DAMAGED = ".writing", ".removing", "damaged-"
"""What is being written or removed, and the beginning of what is set aside."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is whole."""

    folder: Path
    step: int


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, *, keep: int, deepspeed: bool) -> None:
        self._folder = folder
        self._keep = keep
        self._facts = {"ranks": ranks(), "deepspeed": deepspeed}

    def newest(self) -> Checkpoint | None:
        """Return the newest sound checkpoint; set newer ones aside and say why.

        Raises:
            CheckpointError: it cannot be gone on from with these processes.
        """
        found: Checkpoint | None = of_first(self._find() if rank() == 0 else None)
        if found is not None:
            self._check(found, read_facts(found.folder))
        return found

    @contextlib.contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Yield the folder for a checkpoint's files, on every rank; it counts when all is written.

        Raises:
            CheckpointError: it cannot be written; the ones before stay as they are.
        """
        working = self._folder / WRITING
        folder = working / f"checkpoint-{step}"
        try:
            if rank() == 0:
                shutil.rmtree(working, ignore_errors=True)
                folder.mkdir(parents=True)
            wait()
            yield folder
            wait()  # all ranks have written theirs
            if rank() == 0:
                seal(folder, {"step": step, **self._facts})
                self._publish(folder)
            wait()
        except MMModalError:
            raise
        except Exception as error:  # torch's and safetensors' errors are of no common class
            reason = why_not_written(error, self._folder)
            shutil.rmtree(working, ignore_errors=True)
            if reason is None:
                raise
            raise CheckpointError(self._refusal(step, reason)) from error

    def _publish(self, folder: Path) -> None:
        """Give a sealed folder its name, then remove what is too old."""
        target = self._folder / folder.name
        if target.exists():
            self._remove(target)
        folder.rename(target)
        sync(self._folder)
        folder.parent.rmdir()
        for old in self._all()[: -self._keep]:
            self._remove(old.folder)

    def _remove(self, folder: Path) -> None:
        """Remove a folder, so that half of it never looks like a checkpoint."""
        aside = self._folder / REMOVING
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside)

    def _all(self) -> list[Checkpoint]:
        """Return what looks like a checkpoint, the oldest first."""
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
            f"The checkpoint of step {checkpoint.step} is damaged and set aside as "
            f"{self._folder / name}: {reason}; the one before is used.",
            file=sys.stderr,
        )

    def _check(self, checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
        """Refuse what DeepSpeed could not load, or what it alone could."""
        was, now = bool(facts.get("deepspeed")), bool(self._facts["deepspeed"])
        if was != now:
            raise CheckpointError(
                f"{checkpoint.folder} was written {'with' if was else 'without'} DeepSpeed and "
                f"can only be gone on from so; set `deepspeed` as before, or --fresh begins anew"
            )
        if was and facts.get("ranks") != self._facts["ranks"]:
            raise CheckpointError(
                f"{checkpoint.folder} was written by {facts.get('ranks')} processes under "
                f"DeepSpeed, which cannot go on with {self._facts['ranks']}; start as many as "
                "before, or --fresh begins anew"
            )

    def _refusal(self, step: int, reason: str) -> str:
        before = self._all()
        goes_on = (
            f"the same command goes on from step {before[-1].step}"
            if before
            else "there is none before it, so that the same command begins anew"
        )
        return (
            f"the checkpoint of step {step} could not be written to {self._folder}: {reason}. "
            f"Training stops; {goes_on} when that is mended"
        )
