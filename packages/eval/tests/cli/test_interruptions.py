"""An evaluation that is killed goes on where it was, and comes to the same bytes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from forking import PATIENCE, forked, redirect
from questions import conversation
from worlds import write_lines

HOW = ("--max-new-tokens", "6", "--no-controls", "--batch-size", "4", "--temperature", "1.2")
KILLS = 4


def command(words: Sequence[str], log: Path, variables: dict[str, str]) -> None:
    """Run `mmmodal evaluate` in this process."""
    redirect(log)
    os.environ.update(variables)
    from mmmodal.cli.main import run

    os._exit(run(["evaluate", *words]))


def begun(words: Sequence[object], log: Path, **variables: str) -> Any:
    """Return a process that evaluates."""
    process = forked(command, [str(word) for word in words], log, variables)
    process.start()
    return process


def finished(process: Any, log: Path) -> None:
    process.join(PATIENCE)
    assert process.exitcode == 0, log.read_text(encoding="utf-8")


@pytest.fixture
def many(data: Path) -> Path:
    """A file of 40 conversations, in ten batches."""
    shown = [("image", f"{n}.png") for n in range(4)] + [("audio", f"{n}.wav") for n in range(4)]
    rows = [conversation(f"row {n}", *([shown[n % 8]] * (n % 3 > 0)), turns=3) for n in range(40)]
    return write_lines(data.with_name("many.jsonl"), rows)


def results_in(out: Path, start: Path) -> list[bytes]:
    return [(out / start.name / name).read_bytes() for name in ("cases.jsonl", "results.json")]


def test_a_killed_evaluation_goes_on_to_the_same_bytes(
    many: Path, start: Path, tmp_path: Path
) -> None:
    log, chance = tmp_path / "log", random.Random(18)
    began = time.monotonic()
    finished(begun([start, many, *HOW, "--out", tmp_path / "whole"], log), log)
    whole_s = time.monotonic() - began
    out = tmp_path / "killed"
    for _ in range(KILLS):
        process = begun([start, many, *HOW, "--out", out], log)
        process.join(whole_s * chance.uniform(0.3, 0.95))
        process.kill()
        process.join()
    finished(begun([start, many, *HOW, "--out", out], log), log)
    assert results_in(out, start) == results_in(tmp_path / "whole", start)


def test_a_kill_after_any_batch_loses_none_of_its_answers(
    many: Path, start: Path, tmp_path: Path
) -> None:
    from mmmodal.authoring.media import LimitSettings
    from mmmodal_eval.answers.kept import KeptAnswers

    log, out = tmp_path / "log", tmp_path / "killed"
    process = begun([start, many, *HOW, "--out", out], log)
    deadline = time.monotonic() + PATIENCE
    while not (kept := list((out / "kept").glob("*.sqlite"))) or size(kept[0]) == 0:
        assert time.monotonic() < deadline and process.is_alive(), log.read_text(encoding="utf-8")
        time.sleep(0.005)
    process.kill()
    process.join()
    answered = size(kept[0])
    assert 0 < answered <= 40 and answered % 4 == 0, "a batch is kept whole"
    with KeptAnswers.opened(out / "kept", LimitSettings()):
        finished(begun([start, many, *HOW, "--out", out], log), log)
    assert f'"conversations_asked": {40 - answered}' in (
        out / start.name / "timing.json"
    ).read_text(encoding="utf-8")


def size(path: Path) -> int:
    """Return the number of kept answers in a file that another process may write."""
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(path, timeout=30)) as file:
        try:
            return int(file.execute("SELECT count(*) FROM calls").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def test_the_processes_of_a_launcher_share_the_batches(
    many: Path, start: Path, tmp_path: Path
) -> None:
    from socket import socket

    finished(
        begun([start, many, *HOW, "--out", tmp_path / "one"], tmp_path / "log"), tmp_path / "log"
    )
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    both |= {"ACCELERATE_USE_CPU": "true"}
    logs = [tmp_path / f"log-{rank}" for rank in range(2)]
    ranks = [
        begun(
            [start, many, *HOW, "--out", tmp_path / "two"],
            log,
            **both,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
        )
        for rank, log in enumerate(logs)
    ]
    for process, log in zip(ranks, logs, strict=True):
        finished(process, log)
    assert results_in(tmp_path / "two", start) == results_in(tmp_path / "one", start)
    files = sorted((tmp_path / "two" / "kept").glob("*.sqlite"))
    assert [size(file) for file in files] == [20, 20]
    assert "SCORER" in logs[0].read_text(encoding="utf-8")
    assert "SCORER" not in logs[1].read_text(encoding="utf-8")
