"""Options that the commands about data files share."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeVar

import click

__all__ = ["format_names", "json_option", "path_argument", "reading_options", "root_option"]

Command = TypeVar("Command", bound=Callable[..., Any])


def format_names() -> list[str]:
    """List the formats of rows without importing them, and pydantic with them."""
    spec = find_spec("mmmodal.records.formats")
    places = spec.submodule_search_locations if spec else None
    return sorted(module.name for module in iter_modules(places or []))


def reading_options(command: Command) -> Command:
    """Add the options that say how to read a data file."""
    command = click.option(
        "--root-map",
        "root_maps",
        multiple=True,
        metavar="OLD=NEW",
        help="Rewrite the beginning of media paths; can be repeated.",
    )(command)
    return click.option(
        "--format",
        "format_name",
        type=click.Choice(format_names()),
        help="The format of all rows; guessed for each by default.",
    )(command)


path_argument = click.argument("path", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Where media paths begin; by default the folder that holds PATH.",
)
