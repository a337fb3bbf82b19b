"""What the encoder asks of a checkpoint, whichever library wrote it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import WhisperConfig

__all__ = ["Checkpoint"]


class Checkpoint(ABC):
    """One Whisper model in a format that users have; cheap to make, reads when asked."""

    def __init__(self, source: str) -> None:
        self.source = source

    @abstractmethod
    def config(self) -> WhisperConfig:
        """Describe the encoder with all its layers.

        Raises:
            PartError: `source` cannot be had, or is no Whisper model.
        """

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """Return those of `WhisperOptions` that say how it was trained to hear."""

    @abstractmethod
    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the encoder's tensors of these shapes, by the names transformers gives them.

        Raises:
            PartError: one is missing, damaged or of another shape.
        """

    @abstractmethod
    def download_size(self) -> list[tuple[str, int]] | None:
        """List the (file, bytes) that are not on this machine yet; None where that is not known."""
