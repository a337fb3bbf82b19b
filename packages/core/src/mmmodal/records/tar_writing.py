"""Write records with their media as tar shards in the WebDataset layout."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from mmmodal.contracts.record import MediaRef, Record
from mmmodal.media.limits import Limits
from mmmodal.records.detection import find_format
from mmmodal.records.json_text import dump_json
from mmmodal.records.placement import carried

__all__ = ["write_tar"]

APART = re.compile(r"[./\\\x00-\x1f]")
"""What a key has none of: WebDataset splits names at the first dot, and folders at slashes."""


def write_tar(
    records: Iterable[Record], file: BinaryIO, root: Path, limits: Limits | None = None
) -> None:
    """Write records with their media as a tar file; equal records give equal bytes.

    A record is `KEY.json`, a native row; its media are `KEY.0.jpg`, `KEY.1.mp3` and so on, in the
    order of `media`, which names them.

    Args:
        records: the records.
        file: the file to write.
        root: the folder of relative media paths.
        limits: the limits of media; by default those of any medium.

    Raises:
        MediaError: a medium cannot be read.
    """
    keys: set[str] = set()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, record in enumerate(records):
            key = APART.sub("_", record.id)
            if not key or key in keys:
                key = f"{key}_{number}"
            keys.add(key)
            for name, data in _members(record, key, root, limits or Limits()):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _members(record: Record, key: str, root: Path, limits: Limits) -> Iterator[tuple[str, bytes]]:
    media = []
    contents = []
    for index, ref in enumerate(record.media):
        medium = carried(ref, root, limits)
        name = f"{key}.{index}{medium.ending or f'.{ref.kind}'}"
        media.append(MediaRef(kind=ref.kind, uri=name, sha256=ref.sha256))
        contents.append((name, medium.data))
    where = f"record {record.id!r}"
    row = find_format("native").write([record.model_copy(update={"media": tuple(media)})], where)
    yield f"{key}.json", dump_json(row, where)
    yield from contents
