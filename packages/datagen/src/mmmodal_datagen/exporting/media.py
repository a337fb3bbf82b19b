"""Bring the media of exported rows below the folder they are exported to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from mmmodal.media.limits import Limits
from mmmodal.media.source import open_source
from mmmodal_datagen.contracts import Row
from mmmodal_datagen.running.publishing import stopping

__all__ = ["How", "bring"]

How = Literal["link", "copy", "leave"]


def bring(row: Row, root: Path, folder: Path, how: How) -> None:
    """Put a row's media where its paths lead from `folder`, as hard links where that can be.

    Raises:
        MediaError: one of them is not there.
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
    working = target.with_name(f".{target.name}.writing-{os.getpid()}")
    working.unlink(missing_ok=True)
    try:
        if how == "link":
            os.link(path, working)
        else:
            shutil.copyfile(path, working)
    except OSError:
        if how == "copy":
            raise
        shutil.copyfile(path, working)  # the file systems differ, or one knows no links
    working.replace(target)
