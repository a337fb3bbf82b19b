"""Run a pipeline in a process that is killed, or lacks a resource, at a chosen moment."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from forking import forked

__all__ = ["limited", "process", "rank", "run_whole", "until_rename"]


def process(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a process that runs `target`."""
    started = forked(target, *arguments)
    started.start()
    return started


def run_whole(values: Mapping[str, Any]) -> None:
    """Run a pipeline."""
    os.environ["MMMODAL_PLUGINS"] = "mmmodal-datagen"  # the others are slow to import
    from mmmodal.config import validate
    from mmmodal_datagen.pipeline import Pipeline
    from mmmodal_datagen.run.runner import run_pipeline

    run_pipeline(validate(Pipeline, values, "test"))


def until_rename(values: Mapping[str, Any], number: int) -> None:
    """Run a pipeline, and kill the process before the n-th renaming of a file."""
    seen = 0

    def watch(event: str, arguments: Any) -> None:
        nonlocal seen
        if event == "os.rename":
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(watch)
    run_whole(values)


def limited(values: Mapping[str, Any], size: int) -> None:
    """Run a pipeline where no file can be larger than `size` bytes, as on a full disk.

    Its error message is written to `stopped.txt`.
    """
    from mmmodal_datagen.contracts import StopRun

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        run_whole(values)
    except StopRun as error:
        Path(values["root"], "stopped.txt").write_text(str(error), encoding="utf-8")


def rank(values: Mapping[str, Any], number: int, world: int, run: str) -> None:
    """Run a pipeline as one of several processes that share its folder."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(world), "MMMODAL_RUN": run}
    run_whole(values)
