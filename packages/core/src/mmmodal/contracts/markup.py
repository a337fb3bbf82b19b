"""The tokens around and inside a medium, as texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Markup"]


@dataclass(frozen=True)
class Markup:
    """The tokens around and inside a medium, as texts.

    A modality defines them; a converted model may have others.
    """

    slot: str
    begin: str | None = None
    end: str | None = None
    separator: str | None = None
    spaced: bool = False
    """Whether there is a space before `end`, and between a medium and the text beside it."""

    @property
    def sign(self) -> str:
        """The placeholder of one medium in a prompt that is given as text."""
        return self.begin or self.slot

    @property
    def shown(self) -> str:
        """The text of a whole medium."""
        return (" " if self.spaced else "").join((self.sign, self.end or ""))

    def entry(self) -> dict[str, Any]:
        """Return the entry of a model folder."""
        return asdict(self)
