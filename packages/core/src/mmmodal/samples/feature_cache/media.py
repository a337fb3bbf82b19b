"""The media of training data, identified by their bytes, and those without features."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmmodal.contracts.encoder import preprocessed
from mmmodal.errors import MMModalError, RecordError
from mmmodal.media.reading import read_media
from mmmodal.media.source import Source, find_source
from mmmodal.samples.preparer import Preparer

__all__ = ["Medium", "Perceived", "UnseenMedia", "fingerprints"]

QUEUED = 4096
"""The number of media that wait for a thread at a time."""


@dataclass(frozen=True)
class Medium:
    """A medium of a record."""

    kind: str
    address: str | Source
    """The path or URI, or the source of a medium that the row holds."""

    root: Path
    where: str = field(compare=False)
    """The first row with the medium, for errors."""

    def sha256(self, preparer: Preparer) -> str:
        """Return the SHA-256 of its bytes.

        Raises:
            MediaError: the file is missing or too large.
        """
        limits = preparer.limits(self.kind)
        with find_source(self.address, root=self.root, limits=limits).held(limits) as source:
            return source.sha256()


@dataclass(frozen=True)
class Perceived:
    """A medium preprocessed for its tower, or the error."""

    kind: str
    sha256: str
    features: Any = None
    error: RecordError | None = None
    """The error, which is returned, as PyTorch's loader would raise it with a traceback."""


def fingerprints(
    media: Sequence[Medium],
    preparer: Preparer,
    on_error: Callable[[RecordError], None] | None = None,
) -> Iterator[tuple[Medium, str]]:
    """Yield each medium with the SHA-256 of its bytes, read by several threads.

    Args:
        media: the media.
        preparer: the preparer of the model with the towers.
        on_error: a function that gets the error of each medium that cannot be read, which is left
            out; by default the error is raised.

    Raises:
        RecordError: a medium cannot be read; names its row.
    """

    def read(medium: Medium) -> tuple[Medium, str | RecordError]:
        try:
            return medium, medium.sha256(preparer)
        except MMModalError as error:
            return medium, RecordError(medium.where, str(error))

    with ThreadPoolExecutor() as threads:
        pieces = (media[start : start + QUEUED] for start in range(0, len(media), QUEUED))
        for medium, found in itertools.chain.from_iterable(threads.map(read, p) for p in pieces):
            if isinstance(found, str):
                yield medium, found
            elif on_error is None:
                raise found
            else:
                on_error(found)


class UnseenMedia:
    """Media that are read and preprocessed on request, in any process."""

    def __init__(self, media: Sequence[tuple[Medium, str]], preparer: Preparer) -> None:
        self._media, self._preparer = list(media), preparer

    def __len__(self) -> int:
        return len(self._media)

    def places(self) -> dict[str, list[int]]:
        """Return the indices of the media of each modality."""
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
        def check(source: Source) -> None:
            # The decoded bytes must be those of the hash, or the features would have a wrong name.
            if source.sha256() != sha256:
                reason = f"{source.origin} changed while it was being read; start again"
                raise RecordError(medium.where, reason)

        name = medium.kind
        item = read_media(
            self._preparer.modalities[name],
            medium.address,
            root=medium.root,
            limits=self._preparer.limits(name),
            known=check,
        )
        return preprocessed(self._preparer.encoders[name], item)
