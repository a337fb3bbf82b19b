"""Paths of media as rows write them: `file://` URLs, paths of Windows, beginnings to replace."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote

from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import ConfigError

__all__ = ["RootMaps", "is_relative", "local_path", "moved", "with_local_paths"]

ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|[/\\]", re.IGNORECASE)
"""What URLs and absolute paths begin with."""

FILE_URL = re.compile(r"file://(?:localhost(?=/))?", re.IGNORECASE)
DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def local_path(uri: str) -> str:
    """Return the path of a `file://` URL, decoded unless a file has the name as written.

    Any other text is returned unchanged.
    """
    found = FILE_URL.match(uri)
    if found is None:
        return uri
    path = uri[found.end() :]
    path = path[1:] if DRIVE.match(path, 1) else path  # file:///C:/data/a.png
    return path if "%" not in path or os.path.exists(path) else unquote(path)


def with_local_paths(record: Record) -> Record:
    """Return a record with the paths of its `file://` URLs."""
    if not any(FILE_URL.match(ref.uri) for ref in record.media):
        return record
    media = tuple(
        ref if ref.held else ref.model_copy(update={"uri": local_path(ref.uri)})
        for ref in record.media
    )
    return record.model_copy(update={"media": media})


def is_relative(uri: str) -> bool:
    """Return whether a path or URI of a medium begins in a folder that is not in it."""
    return bool(uri) and ABSOLUTE.match(uri) is None


def moved(record: Record, folder: str) -> Record:
    """Return a record whose relative media paths begin above a folder instead of in it."""
    media = tuple(
        ref.model_copy(update={"uri": f"{folder}/{ref.uri}"})
        if ref.held is None and is_relative(ref.uri)
        else ref
        for ref in record.media
    )
    return record if media == record.media else record.model_copy(update={"media": media})


class RootMaps:
    r"""Replace the beginnings of media paths; if several match, the longest.

    A path of Windows matches in any case, and by `\\` or `/`; the rest of it gets `/`.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        pairs = [_root_map(text) for text in texts]
        self._pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def apply(self, record: Record) -> Record:
        """Return the record with its media paths mapped."""
        if not self._pairs:
            return record
        media = tuple(self._mapped(ref) for ref in record.media)
        return record.model_copy(update={"media": media})

    def _mapped(self, ref: MediaRef) -> MediaRef:
        for old, new in self._pairs:
            rest = None if ref.held else _rest(ref.uri, old)
            if rest is not None:
                return ref.model_copy(update={"uri": f"{new}{rest}"})
        return ref


def _rest(path: str, old: str) -> str | None:
    """Return a path without the folder `old`; None if it is not in it."""
    if path.startswith(f"{old}/"):
        return path[len(old) + 1 :]
    if not DRIVE.match(path) and ("\\" not in path or path[:5].lower() == "data:"):
        return None
    given, folder = (text.replace("\\", "/") for text in (path, f"{old}/"))
    return given[len(folder) :] if given.casefold().startswith(folder.casefold()) else None


def _root_map(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals or not old.rstrip("/\\"):
        raise ConfigError("root map", [f"{text!r} is not of the form OLD=NEW"])
    return old.rstrip("/\\"), f"{new.rstrip('/')}/" if new else ""
