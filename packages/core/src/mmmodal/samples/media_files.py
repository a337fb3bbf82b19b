"""The files outside of data files that hold media of records, and whether they have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmmodal.contracts.record import Record
from mmmodal.media.limits import Limits
from mmmodal.media.source import Address, find_source
from mmmodal.media.tars import split_member
from mmmodal.samples.preparer import Preparer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MARKS", "MediaFile", "marks_of", "media_files"]

Mark = tuple[int, int, int, int]
"""What the system says of a file: its size, the times of the last change of its content and of its
status in nanoseconds, and its inode."""

MARKS = 4
GONE: Mark = (0, 0, 0, 0)
LARGEST = 2**63 - 1

TOGETHER = 4096
"""The number of files that a thread looks at in one go."""


class MediaFile(NamedTuple):
    """A file with media, as it was at one time."""

    path: str
    mark: Mark


def media_files(record: Record, root: Path, preparer: Preparer) -> tuple[MediaFile, ...]:
    """Return the files that hold the media of a record, each once, as they are now.

    Those of tar files are the tar files; of URLs, the downloaded ones.

    Raises:
        MediaError: a path is outside of `root`, or a URL cannot be fetched.
        RenderError: the model has no such modality.
    """
    paths: dict[str, None] = {}
    for ref in record.media:
        limits = preparer.limits(preparer.modality_named(ref.kind))
        if (path := _file_of(ref.address, root, limits)) is not None:
            paths[str(path)] = None
    return tuple(MediaFile(path, _mark(path)) for path in paths)


def _file_of(address: Address, root: Path, limits: Limits) -> Path | None:
    """Return the file with a medium, with its links not followed; None if the row holds it."""
    source = find_source(address, root=root, limits=limits)
    if source.path is None or not isinstance(address, str):
        return source.path
    written = root / split_member(address)[0]
    # The file of a URL is that of its download.
    return written if os.path.realpath(written) == str(source.path) else source.path


def marks_of(paths: Sequence[str]) -> NDArray[np.int64]:
    """Return what the system says of files now, [n, MARKS]; zeros if one is not there."""
    import numpy as np

    pieces = [paths[start : start + TOGETHER] for start in range(0, len(paths), TOGETHER)]
    with ThreadPoolExecutor() as threads:  # a network's file system answers many at once
        found = chain.from_iterable(threads.map(lambda piece: list(_marks(piece)), pieces))
        return np.array(list(found), np.int64).reshape(-1, MARKS)


def _marks(paths: Sequence[str]) -> Iterator[Mark]:
    return map(_mark, paths)


def _mark(path: str) -> Mark:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return GONE
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino & LARGEST,  # some systems use all 64 bits
    )
