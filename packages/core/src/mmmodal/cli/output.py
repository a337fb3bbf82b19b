"""Output of commands: results on stdout, as tables or JSON; all other text on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

__all__ = ["example", "print_json", "print_table", "talking"]


def example(*lines: str) -> str:
    """Return the epilog of a command's help: an example of its use, as one would type it."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """Redirect printed text to stderr; DeepSpeed, for example, logs to stdout."""
    # Repeated requests to the Hub need no warnings: the final error reports the failure.
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_json(value: Any) -> None:
    """Print a value as indented JSON; values of other types become text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print aligned columns; `columns` maps a key of the rows to its heading."""
    lines = [list(columns.values())]
    lines += [[_text(row[key]) for key in columns] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)
