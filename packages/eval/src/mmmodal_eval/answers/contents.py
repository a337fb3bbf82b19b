"""Digests of files and media; those of large files are kept while the file stays as it is."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from mmmodal.authoring.media import LimitSettings, Source, find_source
from mmmodal.authoring.parts import MediaError, MMModalError
from mmmodal.authoring.plugins import registry
from mmmodal.authoring.records import MediaRef
from mmmodal_datagen.replay.store import ReplayStore

__all__ = ["Contents"]

LARGE = 8 * 1024 * 1024
"""The bytes of a file from which its digest is kept; a smaller one is read in no time."""

SETTLED_S = 2.0
"""The age of a change from which the time of a file tells any later one."""


class Contents:
    """The SHA-256 of files and media, each computed once."""

    def __init__(self, store: ReplayStore, limits: LimitSettings) -> None:
        self._store, self._limits = store, limits
        self._known: dict[tuple[str, str], str | MMModalError] = {}

    def of_file(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        status = os.stat(path)
        if status.st_size < LARGE:
            return _digest(path)
        request = {"kind": "file", "path": os.path.realpath(path), **_stamp(status)}
        if (kept := self._store.find(request)) is not None:
            return str(kept["sha256"])
        found = _digest(path)
        is_settled = time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_S
        if is_settled and _stamp(os.stat(path)) == _stamp(status):
            self._store.keep([(request, {"sha256": found})])
        return found

    def of_medium(self, ref: MediaRef, root: Path) -> str:
        """Return the SHA-256 of a medium's bytes.

        Raises:
            MMModalError: it cannot be read.
        """
        # A record keeps what its row holds, so that its identity names it.
        key = (str(root), f"{ref.kind} {ref.uri}" if ref.held is None else f"{id(ref.held)}")
        if key not in self._known:
            self._known[key] = self._found(ref, root)
        if isinstance(found := self._known[key], str):
            return found
        raise found

    def read(self, ref: MediaRef, root: Path) -> bytes:
        """Return the bytes of a medium.

        Raises:
            MMModalError: it cannot be read.
        """
        limits = self._of(ref.kind)
        return find_source(ref.address, root=root, limits=limits).read_bytes(limits)

    def _found(self, ref: MediaRef, root: Path) -> str | MMModalError:
        try:
            return self._of_source(find_source(ref.address, root=root, limits=self._of(ref.kind)))
        except MMModalError as error:
            return error

    def _of_source(self, source: Source) -> str:
        if source.path is None or source.member is not None:
            return source.sha256()
        try:
            is_large = os.path.getsize(source.path) >= LARGE
        except OSError:
            is_large = False  # reading it tells what is wrong
        return self.of_file(source.path) if is_large else source.sha256()

    def _of(self, kind: str) -> Any:
        """Return the limits of a modality.

        Raises:
            MediaError: no installed package has it.
        """
        found = registry().get("modalities", kind)
        if found is None:
            reason = "no installed package reads this kind of media; install the one that does"
            raise MediaError("unknown", kind, reason)
        return self._limits.of(found.part())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(status: os.stat_result) -> dict[str, int]:
    """Return what changes with the bytes of a file."""
    names = ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
    return {name: getattr(status, name) for name in names}
