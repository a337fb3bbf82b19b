"""What identifies the content of a data file, without reading all of it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmmodal.files import files_of
from mmmodal.records.shard import LocalShard, Shard

__all__ = ["content_of", "digests", "version_of"]

SAMPLES, SAMPLE = 64, 64 * 1024
"""The number and the bytes of the pieces of a file that stand for its content."""

FEWEST, MOST_OF_ALL = 4, 64 * 1024
"""The smallest number of pieces of a file, and the number of those of all files of a run."""

Version = tuple[int, int, int]


def version_of(path: Path) -> Version:
    """Return what tells whether a file was written to: its size, and when it changed."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def content_of(path: Path, version: Version) -> list[Any]:
    """Return what identifies a version of a file: its size, its time, and a digest of pieces."""
    size, changed, _ = version
    return [size, changed, _digest(path, version, SAMPLES)]


def digests(shards: Sequence[Shard]) -> dict[str, str]:
    """Return a digest of each local file by its name; those of the Hub are pinned to a commit.

    It is of the size and of pieces that cover a file up to 4 MiB whole, of more than a thousand
    files with fewer pieces.
    """
    local = [shard.file for shard in shards if isinstance(shard, LocalShard)]
    files = [file for path in local for file in files_of(path) if file.is_file()]
    samples = max(FEWEST, min(SAMPLES, MOST_OF_ALL // max(1, len(files))))
    return {str(file): _digest(file, version_of(file), samples) for file in files}


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, version: Version, samples: int) -> str:
    """Return the digest of the size and of pieces of a version of a file, which is read once."""
    size = version[0]
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for place in range(samples):
            file.seek(max(0, size - SAMPLE) * place // (samples - 1))
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()
