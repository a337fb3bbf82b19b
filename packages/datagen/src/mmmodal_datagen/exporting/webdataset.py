"""WebDataset: tar files in which the files of a record stand together under one key."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from mmmodal.contracts.record import Record
from mmmodal.media.limits import Limits
from mmmodal.media.source import open_source
from mmmodal.records.detection import find_format
from mmmodal.records.json_text import dump_json

__all__ = ["write_tar"]


def write_tar(records: Sequence[Record], file: BinaryIO, root: Path) -> None:
    """Write records with their media; the same records make the same bytes.

    A record is `KEY.json`, its media `KEY.0.jpg`, `KEY.1.mp3` and so on, in the order of `media`,
    where the JSON names them so. A key has no dot, as WebDataset ends it there.

    Raises:
        MediaError: a medium cannot be read.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for record in records:
            for name, data in _members(record, root):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _members(record: Record, root: Path) -> Iterator[tuple[str, bytes]]:
    key = record.id.replace(".", "_").replace("/", "_")
    media = []
    contents = []
    for index, ref in enumerate(record.media):
        source = open_source(ref.uri, root=root, limits=Limits())
        suffix = source.path.suffix.lower() if source.path else f".{ref.kind}"
        media.append(ref.model_copy(update={"uri": f"{key}.{index}{suffix}"}))
        contents.append((f"{key}.{index}{suffix}", source.read_bytes(Limits())))
    where = f"record {record.id!r}"
    row = find_format("native").write([record.model_copy(update={"media": tuple(media)})], where)
    yield f"{key}.json", dump_json(row, where)
    yield from contents
