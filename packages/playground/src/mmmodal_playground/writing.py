"""Raise errors of writing as one MMModalError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mmmodal.authoring.parts import MMModalError

__all__ = ["writing"]


@contextlib.contextmanager
def writing(out: Path, advice: str = "choose another place or make room") -> Iterator[None]:
    """Raise errors of the system, such as a full disk, as an MMModalError that names the file.

    Raises:
        MMModalError: a file could not be written.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise MMModalError(
            f"{where} cannot be written ({error.strerror or error}); {advice}"
        ) from None
