"""Around the import of a plugin: what it prints goes to stderr, and a slow one is named."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

__all__ = ["naming_slow_plugin", "stdout_to_stderr"]

SLOW_S = 10.0
"""The time after which the plugin that is being loaded is named on stderr."""


@contextlib.contextmanager
def naming_slow_plugin(name: str, package: str) -> Iterator[None]:
    """Name a plugin on stderr if the block takes long."""
    about = f"Plugin {name!r} of {package} is still being loaded"
    text = f"{about}; MMMODAL_PLUGINS=-{name} leaves it out"
    timer = threading.Timer(SLOW_S, print, [text], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect what is written to stdout, also by compiled code, to stderr."""
    with contextlib.ExitStack() as stack:
        try:
            sys.stdout.flush()
            saved = os.dup(1)
        except (OSError, ValueError, AttributeError):  # there is no stdout, or none of the system's
            pass
        else:
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, 1)
            with contextlib.suppress(OSError):
                os.dup2(2, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield
