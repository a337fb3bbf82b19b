"""`--limit image.pixels=200000000`: media that are larger than what is read by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mmmodal.limits import LimitSettings

__all__ = ["limit_option", "read_limits"]

Command = TypeVar("Command", bound=Callable[..., Any])


def limit_option(command: Command) -> Command:
    """Add `--limit`; the command gets `limits`, for `read_limits`."""
    return click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=NUMBER",
        help="Read larger media, as in image.pixels=200000000 or audio.seconds=3600; repeatable.",
    )(command)


def read_limits(given: tuple[str, ...]) -> LimitSettings:
    """Read what `--limit` was given.

    Raises:
        ConfigError: a limit that there is not, or no number.
    """
    from mmmodal import limits

    return limits.read_limits(dict(each.partition("=")[::2] for each in given))
