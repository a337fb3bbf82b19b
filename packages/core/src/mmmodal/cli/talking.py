"""Keep standard output for results: what libraries print on the way goes to standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["talking"]


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """Send prints to stderr; DeepSpeed, for one, logs to stdout from its import on."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
