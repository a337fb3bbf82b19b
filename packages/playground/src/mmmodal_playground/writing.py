"""Files that are written whole, or not at all with one clear error."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mmmodal.authoring.parts import MMModalError

__all__ = ["write_whole", "writing"]


@contextlib.contextmanager
def writing(out: Path, advice: str = "choose another place or make room") -> Iterator[None]:
    """Turn what the system refuses, such as a full disk, into an error that names the file.

    Raises:
        MMModalError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise MMModalError(
            f"{where} cannot be written ({error.strerror or error}); {advice}"
        ) from None


def write_whole(path: Path, text: str) -> None:
    """Replace a file by a text, in UTF-8; it is never there half written."""
    working = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        working.write_text(text, encoding="utf-8", errors="replace")  # of half a surrogate pair
        os.replace(working, path)
    finally:
        working.unlink(missing_ok=True)
