"""Options of commands that make a model folder out of others' weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["chat_template_option", "dtype_option"]


def chat_template_option(purpose: str) -> Callable[..., Any]:
    """Take a Jinja file; `purpose` says what it is for."""
    return click.option(
        "--chat-template",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help=f"A Jinja file, {purpose}.",
    )


dtype_option = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="The precision to hold it in; auto is the language model's own.",
)
