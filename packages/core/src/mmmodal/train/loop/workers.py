"""The processes beside this one: what a reader of media does on a signal, and what is said when
one of them, or another rank, is killed."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from types import FrameType

from transformers.trainer_utils import seed_worker

from mmmodal.errors import TrainingError

__all__ = ["naming_lost_processes", "prepare_worker"]

PATIENCE = 600
"""Seconds after SIGTERM within which the training that a worker reads for comes to an end."""

KILLED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed|exited)")
LOST = re.compile(r"Connection (?:closed|reset) by peer|NCCL.*remote process exited", re.DOTALL)


def prepare_worker(number: int, *, workers: int, rank: int) -> None:
    """Seed a worker, and let it work on when the whole group of processes is told to end.

    The training ends after its step, with a checkpoint, and needs its batch for that.
    """
    seed_worker(number, num_workers=workers, rank=rank)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.alarm(PATIENCE)


@contextlib.contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Turn PyTorch's errors about a process that is gone into one that says what to do.

    Raises:
        TrainingError: a worker or another rank was killed.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if match := KILLED.search(_told_of(error)):
            raise TrainingError(
                f"a process that reads media (pid {match[1]}) was killed, as the system does when "
                "memory runs out; the same command goes on from the last checkpoint, with fewer "
                "`workers` if need be"
            ) from error
        if isinstance(error, RuntimeError) and LOST.search(str(error)):
            raise TrainingError(
                "another process of this training has ended, and said why if it could; the same "
                "command goes on from the last checkpoint"
            ) from error
        raise


def _told_of(error: Exception) -> str:
    """Return what PyTorch tells of an error.

    The connection to a worker that is killed is lost before PyTorch's handler of SIGCHLD raises.
    """
    if not isinstance(error, RuntimeError):
        try:
            time.sleep(1)
        except RuntimeError as told:
            return str(told)
    return str(error)
