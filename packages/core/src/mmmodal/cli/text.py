"""Text that users type or pipe into commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator

__all__ = ["check_typed", "input_lines", "input_text"]

STDIN = "standard input"


def input_text() -> str:
    """Return all of standard input.

    Raises:
        ConfigError: it is not UTF-8.
    """
    return _decoded(sys.stdin.buffer.read(), STDIN)


def input_lines() -> Iterator[str]:
    """Yield the lines of standard input that comes from a pipe or file, as they arrive.

    Raises:
        ConfigError: a line is not UTF-8.
    """
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), start=1):
        yield _decoded(line, f"{STDIN}, line {number:,}")


def check_typed(text: str | None, name: str) -> None:
    """Check that a text of the command line is UTF-8.

    Raises:
        ConfigError: it is not.
    """
    from mmmodal.errors import ConfigError

    try:
        (text or "").encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"not UTF-8 text (at character {error.start + 1:,}); set the terminal to UTF-8"
        raise ConfigError(name, [reason]) from None


def _decoded(data: bytes, where: str) -> str:
    from mmmodal.errors import ConfigError
    from mmmodal.utf8 import NotUtf8Error, decoded

    try:
        return decoded(data)
    except NotUtf8Error as error:
        raise ConfigError(where, [f"{error}; send UTF-8"]) from None
