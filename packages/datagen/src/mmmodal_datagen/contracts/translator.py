"""The contract of translator backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from mmmodal.authoring.parts import Config

__all__ = ["Translator"]


class Translator(ABC):
    """A translator that many tasks of one event loop call at once."""

    name: ClassVar[str]
    """The name in pipelines: `seq2seq`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return, as JSON, what its translations depend on: `model`, `revision`, decoding."""

    @abstractmethod
    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return the translation of each text, taken as one line.

        A translation does not depend on the other texts. A text that is too long for the model is
        an error, and never cut off.

        Raises:
            BackendError: a text could not be translated.
        """

    async def aclose(self) -> None:  # noqa: B027 - most backends have nothing to close
        """Free its resources; called once."""
