"""One clear error for what cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mmmodal.authoring.parts import MMModalError

__all__ = ["writing"]


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
