"""The folder of a run, with its checkpoints, recipe and metrics, below the folder of the result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmmodal.adapters.folder import ADAPTER_CONFIG
from mmmodal.config import validate
from mmmodal.errors import CheckpointError, ConfigError
from mmmodal.files import UNFINISHED, remove_unfinished, sync, write_whole
from mmmodal.limits import limit_schema
from mmmodal.ranks import of_first, rank, ranks
from mmmodal.records.contents import digests
from mmmodal.samples.dataset import Extent
from mmmodal.train.recipe import Recipe

__all__ = [
    "METRICS",
    "NOTED",
    "RUN",
    "VERSIONS",
    "as_begun",
    "begin_run",
    "clear_finished",
    "find_run",
    "moving_in",
]

RUN = "run"
"""The subfolder of `out` that holds a run's checkpoints, recipe and metrics."""

NOTED = "recipe.json"
"""The file that records the settings with which a run began."""

METRICS = "metrics.jsonl"
"""The file of a run's metrics."""

VERSIONS = ("mmmodal-core", "torch", "transformers")
"""The packages whose versions are recorded."""

WORKING = ("trained", "checkpoints")
"""Subfolders of a run that are removed when it is finished."""

SPREAD = frozenset({"batch_size", "accumulation"})
"""Keys that may change with the number of ranks, while the product of all stays the same."""


def find_run(recipe: Recipe, fresh: bool) -> Path:
    """Return the folder of the run to begin or resume, without writing to it.

    Raises:
        CheckpointError: `out` holds anything but an unfinished run of this recipe.
    """
    out, run = recipe.out, recipe.out / RUN
    if _is_finished(out):
        raise CheckpointError(f"{out} holds a finished model; choose another `out`")
    if out.resolve() == recipe.model.resolve():
        raise CheckpointError("`out` is the input folder, which is never changed; choose another")
    ours = (run / NOTED).is_file()
    if out.exists() and not ours and not _is_unused(out):
        raise CheckpointError(f"{out} exists and is not a training run; choose another `out`")
    if ours and not fresh:
        before = _read_note(run)
        changed = sorted(
            k for k, v in recipe.fingerprint().items() if k not in SPREAD and before.get(k) != v
        )
        if changed:
            raise CheckpointError(
                f"{out} was begun with other values of {', '.join(changed)}; "
                "give the same values to resume, another `out`, or --fresh to start again"
            )
    return run


def _is_unused(out: Path) -> bool:
    """Return whether a folder is empty, or only of a run that was killed before its first note."""
    if not out.is_dir() or set(out.iterdir()) - {out / RUN}:
        return False
    return all(path.match(UNFINISHED) for path in (out / RUN).glob("*"))


def clear_finished(out: Path) -> None:
    """Remove what a finished stage has left that was killed at its end."""
    if rank() != 0 or not _is_finished(out):
        return
    _remove_unmoved(out)
    remove_unfinished(out / RUN)
    for folder in (out / RUN / name for name in WORKING):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            print(f"Removed {folder}, left over from a killed process", file=sys.stderr)


def _is_finished(out: Path) -> bool:
    return (out / "config.json").exists() or (out / ADAPTER_CONFIG).exists()


def as_begun(recipe: Recipe, run: Path, fresh: bool) -> Recipe:
    """Return the recipe with the number of conversations per step that the run began with.

    If the number of ranks has changed, `accumulation` changes.

    Raises:
        CheckpointError: the number cannot be divided among these ranks, or streamed data were read
            on another number of them.
    """
    if fresh or not (run / NOTED).is_file():
        return recipe
    before = _read_note(run)
    begun_on = before.get("ranks", 1)
    if recipe.streams and begun_on != ranks():
        raise CheckpointError(
            f"{recipe.out} was begun on {begun_on} processes, which read streamed data in an order "
            f"of their own; start {begun_on} again, not {ranks()}, or give another `out`, or "
            "--fresh to start again"
        )
    wanted = before.get("batch_size", recipe.batch_size) * begun_on
    wanted *= before.get("accumulation", recipe.accumulation)
    at_a_time = recipe.batch_size * ranks()
    if wanted == at_a_time * recipe.accumulation:
        return recipe
    if wanted % at_a_time:
        raise CheckpointError(
            f"{recipe.out} was begun with {wanted} conversations per step, which {ranks()} "
            f"processes with batch_size={recipe.batch_size} cannot make up; set batch_size to a "
            f"divisor of {wanted} / {ranks()}, or give another `out`, or --fresh to start again"
        )
    accumulation = wanted // at_a_time
    if rank() == 0:
        print(
            f"The run was begun with {wanted} conversations per step: accumulation is "
            f"{accumulation} on {ranks()} processes",
            file=sys.stderr,
        )
    return recipe.model_copy(update={"accumulation": accumulation})


def _read_note(run: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads((run / NOTED).read_text(encoding="utf-8"))
    except ValueError:
        raise CheckpointError(f"{run / NOTED} is damaged; start again with --fresh") from None
    return {**note, "limits": _current_limits(note.get("limits", {}))}


def _current_limits(noted: Any) -> Any:
    """Return recorded limits in the current form, without default values."""
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            return validate(limit_schema(), noted, "limits").chosen()
    except (ConfigError, TypeError, ValueError):
        return noted  # for a modality that is not installed: they differ from all given limits


def begin_run(
    recipe: Recipe, run: Path, fresh: bool, extent: Extent, evaluated: Sequence[str] = ()
) -> None:
    """Create the folder of the run and record its recipe, after all inputs were opened.

    `evaluated` are the rows drawn for evaluations.

    Raises:
        CheckpointError: it cannot be written, or its data files have changed.
    """
    contents = of_first(digests(extent.shards) if rank() == 0 else {})
    if (run / NOTED).is_file() and not fresh:
        note = _read_note(run)
        if note.get("evaluated", [*evaluated]) != [*evaluated]:
            raise CheckpointError(
                f"{recipe.out} was begun with other records to evaluate; restore the files of "
                "`eval` to resume, or give another `out`, or --fresh"
            )
        before = note.get("records", extent.number)
        if before != extent.number:
            raise CheckpointError(
                f"{recipe.out} was begun with {before} {extent.unit}, but now there are "
                f"{extent.number}; restore the data files to resume, or give another `out`, or "
                "--fresh"
            )
        _check_contents(recipe.out, note.get("files", contents), contents)
    if rank() != 0:
        return
    try:
        if fresh and (run / NOTED).is_file():
            shutil.rmtree(run)
        run.mkdir(parents=True, exist_ok=True)
        remove_unfinished(run)
        versions = {name: version(name) for name in VERSIONS}
        about = {
            "records": extent.number,
            "files": contents,
            "ranks": ranks(),
            "evaluated": [*evaluated],
        }
        note = {**recipe.fingerprint(), **about, "versions": versions}
        write_whole(run / NOTED, json.dumps(note, indent=2) + "\n", durable=True)
    except OSError as error:
        raise CheckpointError(f"{run} cannot be written ({error.strerror})") from None


def _check_contents(out: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise an error if a data file is not what it was when the run began."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not changed:
        return
    what = "has changed" if changed[0] in before and changed[0] in now else "was added or removed"
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    raise CheckpointError(
        f"{changed[0]} {what} since {out} was begun{more}; restore it to resume, or give another "
        "`out`, or --fresh"
    )


def _remove_unmoved(out: Path) -> None:
    for leftover in out.glob(".writing-*"):  # from a process that was killed in `moving_in`
        shutil.rmtree(leftover)


@contextlib.contextmanager
def moving_in(out: Path, last: str) -> Iterator[Path]:
    """Yield a folder whose files are moved to `out` after the block; `last` is moved last."""
    _remove_unmoved(out)
    working = out / f".writing-{os.getpid()}"
    working.mkdir()
    try:
        yield working
        for path in sorted(working.iterdir(), key=lambda path: path.name == last):
            if path.name == last:
                sync(out)
            if path.is_file():
                sync(path)
            path.replace(out / path.name)
        sync(out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
