"""Find the reason why a file could not be written, for an error with what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmmodal.byte_sizes import readable
from mmmodal.errors import CheckpointError, MMModalError

__all__ = ["naming_full_disk", "why_not_written"]

PROBE = 1 << 20
"""The number of bytes that are written to find the reason."""


def why_not_written(error: Exception, folder: Path) -> str | None:
    """Return why a file could not be written; None if the error has another cause.

    torch's errors have no reason, but a further write fails with the reason.
    """
    cause = error if isinstance(error, OSError) and error.errno else _probe(folder)
    if cause is not None:
        free = f"{readable(shutil.disk_usage(folder).free)} are free there"
        return f"{cause.strerror} ({free})"
    text = str(error).partition("\n")[0]
    of_writing = "StreamWriter" in text or type(error).__module__.startswith("safetensors")
    return text if of_writing else None


@contextlib.contextmanager
def naming_full_disk(what: str, folder: Path) -> Iterator[None]:
    """Raise any error of writing to a folder as a CheckpointError.

    Raises:
        CheckpointError: a file could not be written.
    """
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:  # torch's and safetensors' errors are of no common class
        if (reason := why_not_written(error, folder)) is None:
            raise
        raise CheckpointError(
            f"{what} could not be written to {folder}: {reason}; fix this, and run the same "
            "command again to resume from the last checkpoint"
        ) from error


def _probe(folder: Path) -> OSError | None:
    path = folder / f".probe-{os.getpid()}"
    try:
        with path.open("wb") as file:
            file.write(b"\0" * PROBE)
            os.fsync(file.fileno())
    except OSError as error:
        return error
    finally:
        path.unlink(missing_ok=True)
    return None
