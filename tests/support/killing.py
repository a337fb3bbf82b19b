"""Start real training processes, watch their files, and kill them.

Each is a separate process in its own process group.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepspeed_operators import compile_operators
from forking import PATIENCE, forked, redirect

TIME = "eval_seconds"
"""What is logged of an evaluation and depends on the machine."""


@dataclass(frozen=True)
class Fate:
    """The moment when a process kills itself: the nth event of a kind on a file named with `part`.

    The process can handle any signal but SIGKILL; its child processes get the signal too.
    """

    event: str
    part: str
    count: int = 1
    number: int = signal.SIGKILL


@dataclass
class Running:
    """A running training, with all its ranks."""

    processes: list[Any]
    logs: list[Path]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to every rank and its child processes."""
        for process in self.processes:
            if process.is_alive():
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:  # it has just started, and has no process group yet
                    with contextlib.suppress(ProcessLookupError):  # or it has ended in between
                        os.kill(process.pid, number)

    def wait(self) -> int:
        """Wait for all ranks; return the exit code of the first that failed, which ends all."""
        deadline = time.monotonic() + PATIENCE
        failed = 0
        while any(process.is_alive() for process in self.processes):
            codes = [p.exitcode for p in self.processes if not p.is_alive() and p.exitcode]
            if codes and not failed:
                failed = int(codes[0])
                # Wait for the messages of the others, unless it was killed: then they print none.
                deadline = time.monotonic() + (0.5 if failed == -signal.SIGKILL else 10)
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.01)
        return failed or next((int(p.exitcode) for p in self.processes if p.exitcode), 0)

    def text(self) -> str:
        """Return the output of all ranks."""
        return "\n".join(log.read_text(errors="replace") for log in self.logs if log.exists())


@dataclass(frozen=True)
class Training:
    """A training that can be started repeatedly."""

    stage: str
    settings: Mapping[str, Any]
    out: Path
    ranks: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def said(cls, stage: str, out: Path, *settings: str, ranks: int = 1) -> Training:
        """Return a training with settings `key=value`; the last one of a key counts."""
        pairs = dict(text.split("=", 1) for text in settings)
        return cls(stage, pairs, out, ranks)

    @property
    def run(self) -> Path:
        """The folder of its checkpoints and journals."""
        return self.out / "run"

    def elsewhere(self, out: Path, **changes: Any) -> Training:
        """Return the same training with another `out`."""
        return dataclasses.replace(self, out=out, **changes)

    def start(self, fate: Fate | None = None, *more: str) -> Running:
        """Start or resume it."""
        arguments = [f"{key}={value}" for key, value in self.settings.items()]
        command = ["train", self.stage, *arguments, f"out={self.out}", *more]
        if self.settings.get("deepspeed", "none") != "none":
            compile_first()
        port = _free_port()
        logs = self.out.parent / f"{self.out.name}-logs"
        logs.mkdir(exist_ok=True)
        number = len(list(logs.iterdir()))
        running = Running([], [])
        for rank in range(self.ranks):
            log = logs / f"{number:03}-{rank}.txt"
            variables = {**self.variables, **(_ranks(rank, self.ranks, port))}
            process = forked(_train, command, log, variables, fate if rank == 0 else None)
            process.start()
            running.processes.append(process)
            running.logs.append(log)
        return running

    def finish(self) -> str:
        """Start it and wait until it succeeds; return its output."""
        running = self.start()
        assert running.wait() == 0, running.text()[-3000:]
        return running.text()

    def is_finished(self) -> bool:
        """Return whether the result exists."""
        return any((self.out / name).exists() for name in ("config.json", "adapter_config.json"))

    def step(self) -> int:
        """Return the step that rank 0 has begun."""
        rows = _rows(self.run / "rows-0.jsonl")
        return int(rows[-1]["step"]) if rows else 0

    def wait_for(self, running: Running, is_so: Callable[[], bool]) -> None:
        """Wait until a condition is true or the training has ended."""
        deadline = time.monotonic() + PATIENCE
        while not is_so() and running.processes[0].is_alive() and time.monotonic() < deadline:
            time.sleep(0.003)

    def story(self) -> dict[str, Any]:
        """Return the results that must not depend on how often it was killed."""
        journals = sorted(self.run.glob("rows-*.jsonl"))
        weights = sorted(self.out.glob("*.safetensors"))
        return {
            "rows": {path.name: _rows(path) for path in journals},
            "logs": [
                {key: row[key] for key in ("step", "loss", "grad_norm", "learning_rate")}
                for row in _rows(self.run / "metrics.jsonl")
                if "loss" in row
            ],
            "evaluations": [
                {key: value for key, value in row.items() if key not in ("seconds", TIME)}
                for row in _rows(self.run / "metrics.jsonl")
                if "eval_loss" in row
            ],
            "weights": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in weights},
        }


def kill_at_random(training: Training, kills: int, chance: random.Random, steps: int) -> int:
    """Train to the end with up to `kills` kills at random moments; return their number."""
    moments = sorted(chance.randrange(steps) for _ in range(kills))
    done = 0
    for moment in moments:
        running = training.start()
        if chance.random() < 0.7:
            training.wait_for(running, functools.partial(_has_come, training, running, moment))
        time.sleep(chance.uniform(0, 0.3))
        done += any(process.is_alive() for process in running.processes)
        running.kill()
        for process in running.processes:
            process.join()
        if training.is_finished():
            # Killed after the result was written: the next start removes the remaining files.
            training.start().wait()
            return done
    training.finish()
    return done


def _has_come(training: Training, running: Running, step: int) -> bool:
    """Return whether this start, not an earlier one, has begun a step."""
    return "parameters: " in running.text() and training.step() >= step


def copy_of(training: Training, out: Path) -> Training:
    """Copy an interrupted run; its model and data are not copied."""
    shutil.copytree(training.out, out)
    return training.elsewhere(out)


@functools.cache
def compile_first() -> None:
    """Compile DeepSpeed's operators, which must not count towards the time limits of waits."""
    process = forked(compile_operators)
    process.start()
    process.join()
    assert process.exitcode == 0


def _train(
    command: Sequence[str], log: Path, variables: Mapping[str, str], fate: Fate | None
) -> None:
    os.setsid()
    os.environ.update(variables)
    redirect(log)
    if fate is not None:
        _await(fate)
    from mmmodal.cli.main import run

    code = run(command)
    sys.stderr.flush()
    os._exit(code)


def _await(fate: Fate) -> None:
    seen = 0

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == fate.event and any(fate.part in str(argument) for argument in arguments):
            seen += 1
            if seen == fate.count:
                os.killpg(0, fate.number)

    sys.addaudithook(look)


def _ranks(rank: int, ranks: int, port: int) -> dict[str, str]:
    if ranks == 1:
        return {}
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the complete rows of a journal, to which a process may be writing."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
