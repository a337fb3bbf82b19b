"""`mmmodal evaluate` in processes of its own, which tests kill or run side by side."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forking import PATIENCE, forked, redirect

__all__ = ["begun", "finished", "kept_in"]


def begun(words: Sequence[object], log: Path, **variables: str) -> Any:
    """Return a process that evaluates, and writes what it prints to a file."""
    process = forked(_command, [str(word) for word in words], log, variables)
    process.start()
    return process


def _command(words: Sequence[str], log: Path, variables: Mapping[str, str]) -> None:
    log.touch()
    redirect(log)
    os.environ.update(variables)
    from mmmodal.cli.main import run

    raise SystemExit(run(["evaluate", *words]))


def finished(process: Any, log: Path) -> None:
    """Wait until a process has ended well."""
    process.join(PATIENCE)
    assert process.exitcode == 0, log.read_text(encoding="utf-8")


def kept_in(path: Path) -> int:
    """Return the number of kept answers in a file that another process may write."""
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as file:
        try:
            return int(file.execute("SELECT count(*) FROM calls").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0
