"""What a recipe was made for, and how to compose it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mmmodal.config import Config

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MadeFor"]


class MadeFor(Config):
    """The parts of the model that a recipe is for: their names, as `mmmodal compose` takes them."""

    backbone: str
    encoders: dict[str, str] = Field(default_factory=dict)

    def command(self, out: Path) -> str:
        """Return the command that composes such a model."""
        encoders = "".join(f" --encoder {name}={part}" for name, part in self.encoders.items())
        return f"mmmodal compose {out} --backbone {self.backbone}{encoders}"
