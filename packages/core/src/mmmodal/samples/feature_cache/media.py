"""The media of training data, by what their bytes are: which of them a tower has yet to see."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MMModalError, RecordError
from mmmodal.media import Limits
from mmmodal.media.source import Source, open_source

if TYPE_CHECKING:
    from mmmodal.model.processing import MMModalProcessor

__all__ = ["Medium", "Perceived", "UnseenMedia", "fingerprints", "read_medium"]

QUEUED = 4096
"""Media that wait for a thread at a time."""


@dataclass(frozen=True)
class Medium:
    """A medium that a record refers to."""

    kind: str
    uri: str
    root: Path
    where: str = field(compare=False)
    """The first row that has it, for errors."""

    def source(self, limits: Limits) -> Source:
        """Find its bytes.

        Raises:
            MediaError: they are not there, or too many.
        """
        return open_source(self.uri, root=self.root, limits=limits)


@dataclass(frozen=True)
class Perceived:
    """A medium preprocessed for its tower, or why it could not be."""

    kind: str
    sha256: str
    features: Any = None
    error: RecordError | None = None
    """Given back, not raised: PyTorch's loader would make a traceback of it."""


def fingerprints(
    media: Sequence[Medium], limits: Limits, told: Callable[[RecordError], None] | None = None
) -> Iterator[tuple[Medium, str]]:
    """Yield each medium with the SHA-256 of its bytes, read by several threads.

    Args:
        media: which.
        limits: of what is read.
        told: is given what cannot be read, which is left out; by default it is raised.

    Raises:
        RecordError: names the row of a medium that cannot be read.
    """

    def read(medium: Medium) -> tuple[Medium, str | RecordError]:
        try:
            return medium, medium.source(limits).sha256()
        except MMModalError as error:
            return medium, RecordError(medium.where, str(error))

    with ThreadPoolExecutor() as threads:
        pieces = (media[start : start + QUEUED] for start in range(0, len(media), QUEUED))
        for medium, found in itertools.chain.from_iterable(threads.map(read, p) for p in pieces):
            if isinstance(found, str):
                yield medium, found
            elif told is None:
                raise found
            else:
                told(found)


class UnseenMedia:
    """Media to be read and preprocessed when they are asked for, in whatever process asks."""

    def __init__(
        self, media: Sequence[tuple[Medium, str]], processor: MMModalProcessor, limits: Limits
    ) -> None:
        self._media, self._processor, self._limits = list(media), processor, limits

    def __len__(self) -> int:
        return len(self._media)

    def places(self) -> dict[str, list[int]]:
        """Tell which of them are of which modality."""
        found: dict[str, list[int]] = {}
        for index, (medium, _) in enumerate(self._media):
            found.setdefault(medium.kind, []).append(index)
        return found

    def __getitem__(self, index: int) -> Perceived:
        medium, sha256 = self._media[index]
        try:
            features = self._perceive(medium, sha256)
        except MMModalError as error:
            return Perceived(medium.kind, sha256, error=RecordError(medium.where, str(error)))
        return Perceived(medium.kind, sha256, features)

    def _perceive(self, medium: Medium, sha256: str) -> Any:
        item = self._processor.read(medium.kind, medium.uri, root=medium.root, limits=self._limits)
        # What was decoded is what was hashed: else its features would be stored under a wrong name.
        if medium.source(self._limits).sha256() != sha256:
            raise RecordError(medium.where, f"{medium.uri} changed while it was read; start again")
        return self._processor.encoders[medium.kind].preprocess(item)


def read_medium(
    processor: MMModalProcessor, kind: str, uri: str, *, root: Path, limits: Limits
) -> Any:
    """Decode a medium, or find its features where they are stored: what its encoder takes.

    Raises:
        MediaError: it cannot be read, or features are stored but not those of its bytes.
    """
    from mmmodal.samples.feature_cache.stored import StoredEncoder

    encoder = processor.encoders.get(kind)
    if isinstance(encoder, StoredEncoder):
        return encoder.find(open_source(uri, root=root, limits=limits))
    return processor.read(kind, uri, root=root, limits=limits)
