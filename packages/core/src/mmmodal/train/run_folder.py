"""The folder of a run: its checkpoints, recipe and metrics, below the folder of the result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from mmmodal.adapters.folder import ADAPTER_CONFIG
from mmmodal.errors import CheckpointError
from mmmodal.train.recipe import Recipe

__all__ = [
    "METRICS",
    "NOTED",
    "RUN",
    "VERSIONS",
    "begin_run",
    "find_run",
    "last_checkpoint",
    "moving_in",
    "rank",
]

RUN = "run"
"""The subfolder of `out` that holds a run's checkpoints, recipe and metrics."""

NOTED = "recipe.json"
"""What a run was begun with."""

METRICS = "metrics.jsonl"
"""The log of a run."""

VERSIONS = ("mmmodal-core", "torch", "transformers")
"""The packages whose versions are noted with it."""


def find_run(recipe: Recipe, fresh: bool) -> Path:
    """Return the folder of the run, to be made or continued; nothing is written yet.

    Raises:
        CheckpointError: `out` holds something else than an unfinished run of this recipe.
    """
    out, run = recipe.out, recipe.out / RUN
    if (out / "config.json").exists() or (out / ADAPTER_CONFIG).exists():
        raise CheckpointError(f"{out} holds a finished model; choose another `out`")
    if out.resolve() == recipe.model.resolve():
        raise CheckpointError("`out` is the input folder, which is never changed; choose another")
    ours = (run / NOTED).is_file()
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists and is no training run; choose another `out`")
    if ours and not fresh:
        try:
            before = json.loads((run / NOTED).read_text(encoding="utf-8"))
        except ValueError:
            raise CheckpointError(f"{run / NOTED} is damaged; --fresh begins anew") from None
        changed = sorted(k for k, v in recipe.fingerprint().items() if before.get(k) != v)
        if changed:
            raise CheckpointError(
                f"{out} was begun with other values of {', '.join(changed)}; "
                "give the same ones to continue, another `out`, or --fresh to begin anew"
            )
    return run


def begin_run(recipe: Recipe, run: Path, fresh: bool, records: int) -> None:
    """Make the folder of the run and note its recipe, once everything has been opened.

    Raises:
        CheckpointError: it cannot be written.
    """
    if rank() != 0:
        return
    try:
        if fresh and (run / NOTED).is_file():
            shutil.rmtree(run)
        run.mkdir(parents=True, exist_ok=True)
        versions = {name: version(name) for name in VERSIONS}
        note = {**recipe.fingerprint(), "records": records, "versions": versions}
        (run / f".{NOTED}").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        (run / f".{NOTED}").replace(run / NOTED)
    except OSError as error:
        raise CheckpointError(f"{run} cannot be written ({error.strerror})") from None


@contextlib.contextmanager
def moving_in(out: Path, last: str) -> Iterator[Path]:
    """Yield a folder whose files go to `out` in the end; `last` marks that all are there."""
    working = out / f".writing-{os.getpid()}"
    working.mkdir()
    try:
        yield working
        for path in sorted(working.iterdir(), key=lambda path: path.name == last):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def last_checkpoint(run: Path) -> str | None:
    """Return the newest checkpoint of a run, or None."""
    from transformers.trainer_utils import get_last_checkpoint

    folder = run / "checkpoints"
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def rank() -> int:
    """Return the number of this process among those that train."""
    return int(os.environ.get("RANK", "0"))
