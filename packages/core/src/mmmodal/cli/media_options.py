"""`--image PATH --audio PATH …` in the order given, for whatever modalities are installed."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["read_media_options"]


def read_media_options(arguments: Sequence[str], known: Sequence[str]) -> list[tuple[str, str]]:
    """Read `--MODALITY VALUE` pairs; click itself would lose their order.

    Raises:
        click.UsageError: an option is unknown or lacks its value.
    """
    from mmmodal.config import suggest

    pairs = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in known:
            options = [f"--{option}" for option in known]
            raise click.UsageError(f"no such option: {argument}{suggest(argument, options)}")
        if not equals:
            value = next(rest, "")
        if not value:
            raise click.UsageError(f"--{name} needs a path")
        pairs.append((name, value))
    return pairs
