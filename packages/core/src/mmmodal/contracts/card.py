"""What is known of a published encoder without its files."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Card"]


@dataclass(frozen=True)
class Card:
    """Facts about a published encoder, known without its files."""

    width: int
    """The width of the features."""

    positions: int
    """The number of features for each `per`, before the projector."""

    per: str
    """The unit of `positions`: `image`, `30 s`."""

    licence: str
    """The SPDX name of its licence: `Apache-2.0`."""
