"""The tokens around and inside a medium, as texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Markup"]


@dataclass(frozen=True)
class Markup:
    """The tokens around and inside a medium, as texts.

    A modality says what they are; a model that was converted may have others.
    """

    slot: str
    begin: str | None = None
    end: str | None = None
    separator: str | None = None
    spaced: bool = False
    """A space stands before the end, and between a medium and what is beside it."""

    @property
    def sign(self) -> str:
        """What stands for one medium in a prompt that is given as text."""
        return self.begin or self.slot

    @property
    def shown(self) -> str:
        """How a whole medium is written in a text."""
        return (" " if self.spaced else "").join((self.sign, self.end or ""))

    def entry(self) -> dict[str, Any]:
        """Return what a model folder records."""
        return asdict(self)
