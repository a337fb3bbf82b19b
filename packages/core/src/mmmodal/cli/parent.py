"""A command that does something itself, and also has subcommands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

__all__ = ["ParentCommand"]


class ParentCommand(click.Command):
    """A command whose first argument may be the name of a subcommand, which then runs instead.

    Use it as `@click.command(cls=ParentCommand, subcommands={"compare": load_compare})`.
    """

    def __init__(
        self,
        *arguments: Any,
        subcommands: Mapping[str, Callable[[], click.Command]],
        **settings: Any,
    ) -> None:
        """Take the settings of any command.

        Args:
            arguments: those of `click.Command`.
            subcommands: for each name, a function that imports and returns the command.
            settings: those of `click.Command`.
        """
        super().__init__(*arguments, **settings)
        self._subcommands = dict(subcommands)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return list(self._subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a subcommand."""
        load = self._subcommands.get(cmd_name)
        return load() if load else None

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context of this command, or of the subcommand that the arguments name."""
        if not args or args[0] not in self._subcommands:
            return super().make_context(info_name, args, parent, **extra)
        # Without parameters, which the usage of the subcommand would repeat.
        own = click.Context(click.Command(info_name), parent, info_name)
        return self._subcommands[args[0]]().make_context(args[0], args[1:], own, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and the subcommands."""
        super().format_options(ctx, formatter)
        room = formatter.width - 6 - max(map(len, self._subcommands))
        rows = [(name, load().get_short_help_str(room)) for name, load in self._subcommands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
