"""Worker processes: their handling of signals, and the errors if one or another rank is killed."""

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
"""The maximum number of seconds from SIGTERM to the end of a worker's training."""

KILLED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed|exited)")
LOST = re.compile(r"Connection (?:closed|reset) by peer|NCCL.*remote process exited", re.DOTALL)


def prepare_worker(number: int, *, workers: int, rank: int) -> None:
    """Seed a worker, and make it ignore a signal to the whole group of processes for a while.

    The training ends after its current step, for which it needs a batch, with a checkpoint.
    """
    seed_worker(number, num_workers=workers, rank=rank)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.alarm(PATIENCE)


@contextlib.contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Raise PyTorch's errors about a lost process as an error with the cause and what to do.

    Raises:
        TrainingError: a worker or another rank was killed.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if match := KILLED.search(_told_of(error)):
            raise TrainingError(
                f"a process that reads media (pid {match[1]}) was killed, perhaps because memory "
                "ran out; run the same command again to resume from the last checkpoint, with "
                "fewer `workers` if necessary"
            ) from error
        if isinstance(error, RuntimeError) and LOST.search(str(error)):
            raise TrainingError(
                "another process of this training has ended; see its error, if there is one. Run "
                "the same command again to resume from the last checkpoint"
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
