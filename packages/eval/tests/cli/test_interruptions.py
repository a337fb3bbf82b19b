"""An evaluation that is killed goes on where it was, and comes to the same bytes."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from socket import socket

import pytest

from evaluating import begun, finished, kept_in
from forking import PATIENCE
from questions import conversation
from worlds import write_lines

HOW = ("--max-new-tokens", "6", "--no-controls", "--batch-size", "4", "--temperature", "1.2")


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
    finished(begun([start, many, *HOW, "--out", tmp_path / "whole"], log), log)
    out, before = tmp_path / "killed", 0
    while before < 32:
        before = kept_at_kill([start, many, *HOW, "--out", out], log, before, chance)
        assert before % 4 == 0, "a batch is kept whole or not at all"
    finished(begun([start, many, *HOW, "--out", out], log), log)
    assert results_in(out, start) == results_in(tmp_path / "whole", start)
    timing = json.loads((out / start.name / "timing.json").read_text(encoding="utf-8"))
    assert timing["conversations_asked"] == 40 - before, "nothing that was answered is lost"


def kept_at_kill(words: list[object], log: Path, before: int, chance: random.Random) -> int:
    """Return the number of kept answers after a kill that comes once there are more than before."""
    process, kept = begun(words, log), Path(str(words[-1])) / "kept"
    deadline = time.monotonic() + PATIENCE
    while not (files := list(kept.glob("*.sqlite"))) or kept_in(files[0]) <= before:
        assert time.monotonic() < deadline and process.is_alive(), log.read_text(encoding="utf-8")
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.03))
    process.kill()
    process.join()
    return kept_in(files[0])


def test_the_processes_of_a_launcher_share_the_batches(
    many: Path, start: Path, tmp_path: Path
) -> None:
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
    assert [kept_in(file) for file in files] == [20, 20]
    assert "SCORER" in logs[0].read_text(encoding="utf-8")
    assert "SCORER" not in logs[1].read_text(encoding="utf-8")
