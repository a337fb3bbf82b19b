"""Numbers of bytes as people read and write them."""

from __future__ import annotations

from pydantic import ByteSize

__all__ = ["readable"]


def readable(size: float) -> str:
    """Say a number of bytes: `1.5 GB`."""
    return ByteSize(size).human_readable(decimal=True, separator=" ")
