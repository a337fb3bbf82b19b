"""Keep standard output for results: what libraries print on the way goes to standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

__all__ = ["talking"]


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """Send prints to stderr; DeepSpeed, for one, logs to stdout from its import on."""
    # That the Hub is asked again and again is told once, by the error in the end.
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):
        yield
