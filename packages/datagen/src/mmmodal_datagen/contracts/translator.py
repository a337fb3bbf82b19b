"""What translates text: the contract of translator backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from mmmodal.config import Config

__all__ = ["Translator"]


class Translator(ABC):
    """A translator that is asked from many tasks of one event loop at once."""

    name: ClassVar[str]
    """The key users name it by: `seq2seq`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what decides its translations, as JSON: `model`, `revision`, decoding."""

    @abstractmethod
    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Translate each text as one line, whatever it is translated beside.

        Nothing is cut off: a text too long for the model is an error.

        Raises:
            BackendError: one of them could not be translated.
        """

    async def aclose(self) -> None:  # noqa: B027 - most backends have nothing to close
        """Free what it holds; called once."""
