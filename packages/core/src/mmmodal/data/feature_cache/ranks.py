"""What the processes of a training share: their number, and numbers added up over all."""

from __future__ import annotations

import torch

__all__ = ["place", "summed"]


def place() -> tuple[int, int]:
    """Return the number of this process and how many there are."""
    if not _several():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def summed(value: float) -> float:
    """Add up a number over all processes, which wait for one another."""
    if not _several():
        return value
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    total = torch.tensor(float(value), dtype=torch.float64, device=device)
    torch.distributed.all_reduce(total)
    return float(total)


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
