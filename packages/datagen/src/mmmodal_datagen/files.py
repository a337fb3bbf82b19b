"""Files that appear whole or not at all, also after a power failure."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mmmodal.authoring.files import replacing
from mmmodal_datagen.contracts.outcomes import StopRun

__all__ = ["publish_bytes", "publishing", "stopping"]

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def publishing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, and rename it to `path` when the block succeeds.

    Raises:
        StopRun: the disk is full, or may not be written.
    """
    with stopping(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=True) as working, working.open("wb") as file:
            yield file


def publish_bytes(data: bytes, path: Path) -> None:
    """Write a whole file.

    Raises:
        StopRun: the disk is full, or may not be written.
    """
    with publishing(path) as file:
        file.write(data)


@contextlib.contextmanager
def stopping(path: Path) -> Iterator[None]:
    """Raise `StopRun` for any error of the file system.

    Raises:
        StopRun: the disk is full, or may not be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        hint = "make room" if error.errno in FULL else "check its permissions"
        raise StopRun(f"{path} cannot be written ({reason}); {hint} and run again") from None
