"""The media of an export: below its folder, or inside tar files in the WebDataset format."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from mmmodal.authoring.files import replacing
from mmmodal.authoring.media import Limits, open_source
from mmmodal.authoring.records import Record, dump_json, find_format
from mmmodal_datagen.contracts import Row
from mmmodal_datagen.files import stopping

__all__ = ["How", "bring", "write_tar"]

How = Literal["link", "copy", "leave"]


def bring(row: Row, root: Path, folder: Path, how: How) -> None:
    """Put a row's media below `folder`, at the paths in the row, as hard links if possible.

    Raises:
        MediaError: a medium does not exist.
    """
    if how == "leave":
        return
    for medium in row.media:
        if medium.uri.startswith("data:"):
            continue
        path = open_source(medium.uri, root=root, limits=Limits()).path
        target = folder / medium.uri
        if path is not None and not target.exists():
            with stopping(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                _place(path, target, how)


def _place(path: Path, target: Path, how: How) -> None:
    with replacing(target) as working:
        working.unlink(missing_ok=True)  # of a process of this number that was killed
        try:
            if how == "link":
                os.link(path, working)
            else:
                shutil.copyfile(path, working)
        except OSError:
            if how == "copy":
                raise
            shutil.copyfile(path, working)  # other file system, or one without links


def write_tar(records: Sequence[Record], file: BinaryIO, root: Path) -> None:
    """Write records with their media as a tar file; equal records give equal bytes.

    A record is `KEY.json`, its media are `KEY.0.jpg`, `KEY.1.mp3` and so on, in the order of
    `media`. A key has no dot, as WebDataset splits names at the first one.

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
