"""Where written records have their media: where they lie, inside the rows, or as files beside."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import RecordError
from mmmodal.files import replacing
from mmmodal.media.limits import Limits
from mmmodal.media.source import Source, find_source

__all__ = ["Carried", "MediaPlace", "Placing", "carried", "placing"]

MediaPlace = Literal["keep", "embed", "files"]
"""keep: where they lie, with their paths unchanged. embed: inside the rows. files: in a folder
beside the written file, named by the SHA-256 of their bytes."""

Placing = Callable[[Record, str], Record]
"""A function that returns a record with its media in their place; the text names it in errors."""

OTHER = "application/octet-stream"
SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
HEADS = {
    rb"\x89PNG": ".png",
    rb"\xff\xd8\xff": ".jpg",
    rb"GIF8": ".gif",
    rb"RIFF.{4}WEBP": ".webp",
    rb"RIFF.{4}WAVE": ".wav",
    rb"fLaC": ".flac",
    rb"OggS": ".ogg",
    rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]": ".mp3",
}
"""The ending for bytes without a name, by the first of them."""


class Carried(NamedTuple):
    """The bytes of a medium, and the name of its file: a relative path."""

    name: str
    data: bytes

    @property
    def ending(self) -> str:
        """The ending of the name: `.jpg`, or nothing."""
        return PurePosixPath(self.name).suffix.lower()


def carried(ref: MediaRef, root: Path, limits: Limits) -> Carried:
    """Return the bytes of a medium.

    Raises:
        MediaError: it cannot be read, or is too large.
    """
    with find_source(ref.address, root=root, limits=limits).held(limits) as source:
        data = source.read_bytes(limits)
    return Carried(_name(ref, source, data), data)


def placing(media: MediaPlace, path: Path, root: Path, limits: Limits) -> Placing:
    """Return what puts the media of a file of JSON lines in their place.

    Args:
        media: the place.
        path: the file that is written.
        root: the folder of the records' relative media paths.
        limits: the limits of media that are read.
    """
    if media == "keep":
        return _kept
    write = _data_uri if media == "embed" else _Folder(path).add

    def placed(record: Record, where: str) -> Record:
        del where
        refs = (
            MediaRef(kind=ref.kind, uri=write(carried(ref, root, limits)), sha256=ref.sha256)
            for ref in record.media
        )
        return record.model_copy(update={"media": tuple(refs)})

    return placed


def _kept(record: Record, where: str) -> Record:
    """Return a record whose media all have paths or URIs.

    Raises:
        RecordError: a medium is inside the row that was read, or on the Hub, so that no path names
            it.
    """
    for ref in record.media:
        if ref.held is not None:
            what = "its medium is on the Hub" if ref.held.remote else "the row holds its medium"
            held = f"{what} ({ref.uri}); write it as well"
            raise RecordError(where, f"{held}, with `--media embed` or `--media files`")
    return record


class _Folder:
    """The folder of media beside a written file."""

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(f"{path.stem}-media")

    def add(self, medium: Carried) -> str:
        """Write a medium unless it is there, and return its path beside the written file."""
        name = f"{hashlib.sha256(medium.data).hexdigest()}{medium.ending}"
        target = self._folder / name
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(target) as working:
                working.write_bytes(medium.data)
        return f"{self._folder.name}/{name}"


def _data_uri(medium: Carried) -> str:
    kind = mimetypes.guess_type(f"medium{medium.ending}")[0] or OTHER
    return f"data:{kind};base64,{base64.b64encode(medium.data).decode()}"


def _name(ref: MediaRef, source: Source, data: bytes) -> str:
    """Return the relative path of a medium that has one; else the name of its file, or a new one.

    A name has the ending of the bytes if it has none of its own.
    """
    given = ref.uri if ref.held is None and source.path else source.name
    path = PurePosixPath((source.member or given).replace("\\", "/"))
    name = path.name if path.is_absolute() or ".." in path.parts else str(path)
    if SUFFIX.fullmatch(PurePosixPath(name).suffix.lower()):
        return name
    found = (ending for head, ending in HEADS.items() if re.match(head, data, re.DOTALL))
    return f"{path.name or hashlib.sha256(data).hexdigest()[:16]}{next(found, '')}"
