"""Collective operations of the processes of a training; a single process sends nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["anyone", "everyones", "joined", "of_first", "rank", "ranks", "summed", "wait"]


def rank() -> int:
    """Return the rank of this process among those that train together.

    Before the process group exists, it is the launcher's `RANK`.
    """
    if not _joined():
        return int(os.environ.get("RANK", "0"))
    import torch

    return torch.distributed.get_rank()


def ranks() -> int:
    """Return the number of processes that train together; `WORLD_SIZE` before the group exists."""
    if not _joined():
        return int(os.environ.get("WORLD_SIZE", "1"))
    import torch

    return torch.distributed.get_world_size()


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the processes that a launcher started, if there are several, as the Trainer does."""
    if ranks() == 1 or _joined():
        yield
        return
    import torch
    from accelerate import PartialState

    PartialState()  # chooses the backend, and the GPU of this process
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def wait() -> None:
    """Wait until all ranks have called this function."""
    if _several():
        import torch

        torch.distributed.barrier()


def anyone(number: int) -> int:
    """Return the maximum of the ranks' numbers."""
    if not _several():
        return number
    import torch

    distributed = torch.distributed
    largest = torch.tensor([number], device=collective_device())
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def summed(value: float) -> float:
    """Return the sum of a number over all ranks, which wait for each other."""
    if not _several():
        return value
    import torch

    total = torch.tensor(float(value), dtype=torch.float64, device=collective_device())
    torch.distributed.all_reduce(total)
    return float(total)


def of_first(value: Any) -> Any:
    """Return the value of rank 0, on every rank."""
    if not _several():
        return value
    import torch

    values = [value]
    torch.distributed.broadcast_object_list(values, src=0, device=torch.device(collective_device()))
    return values[0]


def everyones(value: Any) -> list[Any]:
    """Return the values of all ranks, in the order of ranks."""
    if not _several():
        return [value]
    import torch

    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def collective_device() -> str:
    """Return the device of tensors that the ranks exchange."""
    import torch

    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


def _several() -> bool:
    return _joined() and ranks() > 1


def _joined() -> bool:
    if "torch" not in sys.modules:
        return False  # without torch there is no process group
    import torch

    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())
