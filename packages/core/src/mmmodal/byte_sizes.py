"""Numbers of bytes with units, as users read and write them."""

from __future__ import annotations

from pydantic import ByteSize

__all__ = ["readable"]


def readable(size: float) -> str:
    """Return a number of bytes with its unit: `1.5 GB`."""
    return ByteSize(size).human_readable(decimal=True, separator=" ")
