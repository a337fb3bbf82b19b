"""The first conversations of streamed data, for a check that does not read the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mmmodal.samples.collation import Sample
    from mmmodal.samples.preparer import Preparer
    from mmmodal.samples.streaming.dataset import Found, StreamedDataset

__all__ = ["Excerpt", "StreamExcerpt"]


class Excerpt(Protocol):
    """Conversations by number."""

    @property
    def preparer(self) -> Preparer:
        """The preparer of the model."""

    def __getitem__(self, index: int) -> Sample:
        """Return the sample of one conversation, or raise the RecordError of its row."""

    def check_encoders(self, index: int) -> None:
        """Raise a RecordError if an encoder does not treat its media equally each time."""


@dataclass(frozen=True)
class StreamExcerpt:
    """The first records of streamed data, in the proportions of their mixture."""

    source: StreamedDataset
    found: Sequence[Found]

    @classmethod
    def of(cls, source: StreamedDataset, number: int) -> StreamExcerpt:
        """Return at most `number` records."""
        return cls(source, source.first(number))

    @property
    def preparer(self) -> Preparer:
        """The preparer of the model."""
        return self.source.preparer

    def __getitem__(self, index: int) -> Sample:
        """Return the sample of one record.

        Raises:
            RecordError: the record cannot be used; names its row.
        """
        return self.source.prepare(self.found[index])

    def check_encoders(self, index: int) -> None:
        """Check that the encoders treat the media of one record equally each time.

        Raises:
            RecordError: one does not; names the row and the encoder.
        """
        self.source.check_encoders(self.found[index])
