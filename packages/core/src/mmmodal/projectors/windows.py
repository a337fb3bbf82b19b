"""The number of windows of a convolution, for a projector and for its layers."""

from __future__ import annotations

__all__ = ["windows"]


def windows(n: int, kernel: int, stride: int) -> int:
    """Return the number of outputs for n positions, which are padded to the kernel if fewer."""
    return (max(n, kernel) - kernel) // stride + 1
