"""How many windows of a convolution an item has: the projector counts them, and its layers do."""

from __future__ import annotations

__all__ = ["windows"]


def windows(n: int, kernel: int, stride: int) -> int:
    """Count the outputs of a convolution over n positions, padded to the kernel if need be."""
    return (max(n, kernel) - kernel) // stride + 1
