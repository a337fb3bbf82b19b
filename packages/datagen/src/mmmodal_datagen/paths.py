"""Paths of media, when the file that names them moves."""

from __future__ import annotations

import os
from pathlib import Path

from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError

__all__ = ["moved", "relative_uri"]


def moved(record: Record, folder: Path, target: Path) -> Record:
    """Return a record of a file in `folder` as a file in `target` would write it.

    Raises:
        RecordError: a medium would lie outside of `target`, where no loader looks.
    """
    where = f"record {record.id!r}"
    uris = [relative_uri(ref.uri, where, folder, target) for ref in record.media]
    media = [
        ref.model_copy(update={"uri": uri}) for ref, uri in zip(record.media, uris, strict=True)
    ]
    return record.model_copy(update={"media": tuple(media)})


def relative_uri(uri: str, where: str, folder: Path, target: Path) -> str:
    """Return a path that begins in `folder` as one that begins in `target`.

    Raises:
        RecordError: it lies outside of `target`; `where` is named.
    """
    if uri.startswith("data:") or os.path.isabs(uri):
        return uri
    found = Path(os.path.relpath(folder / uri, target))
    if found.parts[:1] == (os.pardir,):
        reason = f"its medium {uri!r} lies outside of {target}; write to a folder that holds it"
        raise RecordError(where, reason)
    return found.as_posix()
