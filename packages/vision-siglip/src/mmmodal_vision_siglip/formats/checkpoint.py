"""What a source of weights can tell, whatever format it is in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import SiglipVisionConfig

__all__ = ["Checkpoint"]


class Checkpoint(ABC):
    """A source whose format is known; what it holds is read when it is asked for."""

    def __init__(self, source: str) -> None:
        self.source = source
        """As the user wrote it, for errors."""

    @abstractmethod
    def config(self) -> SiglipVisionConfig:
        """Return the tower's config: the source's whole depth, without its pooling head.

        Raises:
            PartError: it is no SigLIP of fixed resolution.
        """

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """Return the options of `SiglipOptions` with which the source makes pixels."""

    @abstractmethod
    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of those names of our tower, read one by one; no others are read.

        Raises:
            PartError: one is missing, damaged or of another shape.
        """

    @abstractmethod
    def download_size(self) -> list[tuple[str, int]] | None:
        """List what `tensors` would download as (file, bytes); None where that is not known."""
