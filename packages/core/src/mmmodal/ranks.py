"""What the processes of a training agree on; with a single process nothing is sent."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["anyone", "everyones", "of_first", "rank", "ranks", "summed", "wait"]


def rank() -> int:
    """Return the number of this process among those that train together.

    Before they have joined it is what the launcher says in `RANK`.
    """
    if not _joined():
        return int(os.environ.get("RANK", "0"))
    import torch

    return torch.distributed.get_rank()


def ranks() -> int:
    """Return how many processes train together; before they have joined by `WORLD_SIZE`."""
    if not _joined():
        return int(os.environ.get("WORLD_SIZE", "1"))
    import torch

    return torch.distributed.get_world_size()


def wait() -> None:
    """Go on when all ranks have come here."""
    if _several():
        import torch

        torch.distributed.barrier()


def anyone(number: int) -> int:
    """Return the largest of the ranks' numbers."""
    if not _several():
        return number
    import torch

    distributed = torch.distributed
    told = torch.tensor([number], device=collective_device())
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return int(told)


def summed(value: float) -> float:
    """Add up a number over all processes, which wait for one another."""
    if not _several():
        return value
    import torch

    total = torch.tensor(float(value), dtype=torch.float64, device=collective_device())
    torch.distributed.all_reduce(total)
    return float(total)


def of_first(value: Any) -> Any:
    """Return what rank 0 gave, on every rank."""
    if not _several():
        return value
    import torch

    values = [value]
    torch.distributed.broadcast_object_list(values, src=0, device=torch.device(collective_device()))
    return values[0]


def everyones(value: Any) -> list[Any]:
    """Return what every rank gave, in their order."""
    if not _several():
        return [value]
    import torch

    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def collective_device() -> str:
    """Return where a tensor must be for the ranks to send it."""
    import torch

    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


def _several() -> bool:
    return _joined() and ranks() > 1


def _joined() -> bool:
    if "torch" not in sys.modules:
        return False  # nobody could have joined
    import torch

    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())
