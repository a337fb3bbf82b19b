"""Real training processes that are killed: started in a moment, watched by what they write.

Each is a process of its own, with a process group of its own.
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


@dataclass(frozen=True)
class Fate:
    """Where a process kills itself: at the nth event of a kind that names a file with `part`.

    Another signal than SIGKILL is one that it can act on; all that it started have it, too.
    """

    event: str
    part: str
    count: int = 1
    number: int = signal.SIGKILL


@dataclass
class Running:
    """A training on its way, on all its ranks."""

    processes: list[Any]
    logs: list[Path]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to every rank and what it started."""
        for process in self.processes:
            if process.is_alive():
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:  # it has only just begun, and leads no group yet
                    with contextlib.suppress(ProcessLookupError):  # or has ended in between
                        os.kill(process.pid, number)

    def wait(self) -> int:
        """Wait for all ranks and return the exit code of the first that failed, which ends all."""
        deadline = time.monotonic() + PATIENCE
        failed = 0
        while any(process.is_alive() for process in self.processes):
            codes = [p.exitcode for p in self.processes if not p.is_alive() and p.exitcode]
            if codes and not failed:
                failed = int(codes[0])
                # What the others say of it; after a kill they wait for it and say nothing.
                deadline = time.monotonic() + (0.5 if failed == -signal.SIGKILL else 10)
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.01)
        return failed or next((int(p.exitcode) for p in self.processes if p.exitcode), 0)

    def text(self) -> str:
        """Return what all ranks wrote."""
        return "\n".join(log.read_text(errors="replace") for log in self.logs if log.exists())


@dataclass(frozen=True)
class Training:
    """A training that can be started again and again."""

    stage: str
    settings: Mapping[str, Any]
    out: Path
    ranks: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def said(cls, stage: str, out: Path, *settings: str, ranks: int = 1) -> Training:
        """Return a training whose settings are `key=value`, of which the last one counts."""
        pairs = dict(text.split("=", 1) for text in settings)
        return cls(stage, pairs, out, ranks)

    @property
    def run(self) -> Path:
        """Where its checkpoints and journals are."""
        return self.out / "run"

    def elsewhere(self, out: Path, **changes: Any) -> Training:
        """Return the same training with another `out`."""
        return dataclasses.replace(self, out=out, **changes)

    def start(self, fate: Fate | None = None, *more: str) -> Running:
        """Start it, or go on with it."""
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
        """Start it and wait for its good end; return what it wrote."""
        running = self.start()
        assert running.wait() == 0, running.text()[-3000:]
        return running.text()

    def is_finished(self) -> bool:
        """Return whether the result is there."""
        return any((self.out / name).exists() for name in ("config.json", "adapter_config.json"))

    def step(self) -> int:
        """Return the step that rank 0 has begun."""
        rows = _rows(self.run / "rows-0.jsonl")
        return int(rows[-1]["step"]) if rows else 0

    def wait_for(self, running: Running, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, or the training has ended."""
        deadline = time.monotonic() + PATIENCE
        while not is_so() and running.processes[0].is_alive() and time.monotonic() < deadline:
            time.sleep(0.003)

    def story(self) -> dict[str, Any]:
        """Return what must be the same however often it was killed."""
        journals = sorted(self.run.glob("rows-*.jsonl"))
        weights = sorted(self.out.glob("*.safetensors"))
        return {
            "rows": {path.name: _rows(path) for path in journals},
            "logs": [
                {key: row[key] for key in ("step", "loss", "grad_norm", "learning_rate")}
                for row in _rows(self.run / "metrics.jsonl")
                if "loss" in row
            ],
            "weights": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in weights},
        }


def kill_at_random(training: Training, kills: int, chance: random.Random, steps: int) -> int:
    """Train to the end through so many kills at random moments; return how many there were."""
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
            # Killed after its result was there: the next start removes what is left beside it.
            training.start().wait()
            return done
    training.finish()
    return done


def _has_come(training: Training, running: Running, step: int) -> bool:
    """Return whether this start, not the one before, has begun a step."""
    return "parameters: " in running.text() and training.step() >= step


def copy_of(training: Training, out: Path) -> Training:
    """Copy a run that was interrupted; what it trains from and on stays where it is."""
    shutil.copytree(training.out, out)
    return training.elsewhere(out)


@functools.cache
def compile_first() -> None:
    """Wait for what DeepSpeed compiles when it is first used, which nobody's patience counts."""
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
    """Return the whole rows of a journal, which may just be written."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
