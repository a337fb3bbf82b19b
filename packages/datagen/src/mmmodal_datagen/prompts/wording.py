"""A text in English, Malay or both, as the options of steps contain it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import model_validator

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Piece

__all__ = ["Wording", "same_languages"]


class Wording(Config):
    """A text in one language or in both."""

    en: str | None = None
    ms: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Wording:
        texts = [text for text in (self.en, self.ms) if text is not None]
        if not texts or not all(text.strip() for text in texts):
            raise ValueError("give a text under `en`, `ms` or both")
        return self

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages it is in."""
        return tuple(name for name in ("en", "ms") if getattr(self, name) is not None)

    def piece(self, fill: Callable[[str], str] = str) -> Piece:
        """Return the text as a piece of a turn, with its languages.

        Args:
            fill: returns a text with its fields filled in.
        """
        if self.en is None:
            return Piece(type="text", text=fill(self.ms or ""), lang="ms")
        malay = None if self.ms is None else fill(self.ms)
        return Piece(type="text", text=fill(self.en), text_ms=malay, lang="en")


def same_languages(wordings: Sequence[Wording]) -> bool:
    """Return whether all wordings are in the same languages."""
    return len({wording.languages for wording in wordings}) <= 1
