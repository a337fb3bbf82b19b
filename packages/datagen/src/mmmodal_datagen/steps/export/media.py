"""The media of an export, below its folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from mmmodal.authoring.files import replacing
from mmmodal.authoring.media import Limits, open_source
from mmmodal_datagen.contracts import Row
from mmmodal_datagen.files import stopping

__all__ = ["How", "bring"]

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
