"""Processes that start fast: forked from one server that has imported the slow packages.

Torch, transformers and DeepSpeed take ten seconds to import; here they are imported only once. Each
process is separate, with its own environment and exit code.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE", "forked", "redirect", "run_forked"]

PRELOADED = (
    "deepspeed",
    "mmmodal.auto",
    "mmmodal.cli.main",
    "mmmodal.train.stage.stage",
    "mmmodal.train.loop.trainer",
    "mmmodal_datagen.run.runner",
    "mmmodal_datagen.run.executors.local",
    "mmmodal_datagen.steps.compose",
    "mmmodal_datagen.steps.dialogue",
    "mmmodal_datagen.steps.export",
    "mmmodal_datagen.steps.gate",
    "mmmodal_datagen.steps.import_",
    "mmmodal_playground.quickstart.results",
    "openai",
    "peft",
    "transformers.models.llama.modeling_llama",
    "transformers.models.siglip.modeling_siglip",
    "transformers.models.whisper.modeling_whisper",
)
PATIENCE = 240  # seconds for each wait for a tiny training


def forked(function: Callable[..., None], *arguments: Any) -> Any:
    """Return a process, not started yet, that calls a function with all packages imported."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context.Process(target=_begin, args=(function, *arguments))


def _begin(function: Callable[..., None], *arguments: Any) -> None:
    # As in any command: its own processes must not be forked from a further server, which would
    # import everything again.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    function(*arguments)


def run_forked(
    *arguments: object, path: Path | None = None, typed: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the `mmmodal` command in a separate process.

    Args:
        arguments: the arguments of the command.
        path: a folder with installed packages.
        typed: its standard input.
        variables: environment variables.
    """
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("typed", "out", "err")]
        streams[0].write_text(typed, encoding="utf-8")
        process = forked(_command, words, streams, path, variables)
        process.start()
        process.join(PATIENCE)
        process.kill()
        out, err = (stream.read_text(encoding="utf-8") for stream in streams[1:])
    return subprocess.CompletedProcess(words, process.exitcode, out, err)


def redirect(log: Path) -> None:
    """Redirect the output of this process to a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _command(
    words: list[str], streams: list[Path], path: Path | None, variables: Mapping[str, str]
) -> None:
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_RDWR | os.O_CREAT), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    for name in [name for name in os.environ if name.startswith("MMMODAL_")]:
        del os.environ[name]
    os.environ.update(variables)
    if path is not None:
        sys.path.insert(0, str(path))
    from mmmodal.cli.main import run

    sys.exit(run(words))
