"""The `mmmodal` command: a subcommand is imported when it is called, not for `--help`."""

from __future__ import annotations

import contextlib
import difflib
import faulthandler
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from mmmodal.cli.summaries import summary
from mmmodal.errors import MMModalError, PluginError, is_debugging, one_line

__all__ = ["COMMANDS", "main", "mmmodal", "package_of", "plugin_commands", "run"]

CORE = "mmmodal-core"

COMMANDS = {
    "compose": ("mmmodal.cli.compose:compose", "Compose a chat model from parts."),
    "convert": ("mmmodal.cli.convert:convert", "Convert another project's checkpoint to a model."),
    "train": ("mmmodal.cli.train:train", "Train a stage of a composed model."),
    "generate": ("mmmodal.cli.generate:generate", "Answer one prompt about media."),
    "chat": ("mmmodal.cli.chat:chat", "Chat with a model about images, audio and more."),
    "recipes": ("mmmodal.cli.recipes:recipes", "List the training recipes, and copy one."),
    "join": (
        "mmmodal.cli.join:join",
        "Join two models with the same language model and different modalities.",
    ),
    "merge": ("mmmodal.cli.merge:merge", "Merge an adapter into the model it was trained on."),
    "push": ("mmmodal.cli.push:push", "Publish a model or an adapter on the Hugging Face Hub."),
    "data": ("mmmodal.cli.data:data", "Check, convert and preview training data."),
    "plugins": ("mmmodal.cli.listing:plugins", "List the plugins and their status."),
    "modalities": ("mmmodal.cli.listing:modalities", "List the kinds of data."),
    "encoders": ("mmmodal.cli.listing:encoders", "List the encoders."),
    "projectors": ("mmmodal.cli.listing:projectors", "List the projectors."),
    "backbones": ("mmmodal.cli.listing:backbones", "List the language models."),
    "formats": ("mmmodal.cli.listing:formats", "List the formats of rows of data files."),
}
"""Core's own commands: the module of each, and its line in `mmmodal --help`."""


class LazyGroup(click.Group):
    """Core's commands and those of other packages; a command is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, core's first."""
        return [*COMMANDS, *sorted(_plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; if that fails, return a command that raises the error."""
        if cmd_name in COMMANDS:
            module, attribute = COMMANDS[cmd_name][0].split(":")
            return _load(cmd_name, CORE, lambda: getattr(import_module(module), attribute))
        entries = _plugin_commands().get(cmd_name, [])
        if len(entries) > 1:
            packages = " and ".join(map(package_of, entries))
            return _refusing(
                cmd_name,
                f"command {cmd_name!r} is provided by {packages}; uninstall one of them",
            )
        return _load(cmd_name, package_of(entries[0]), entries[0].load) if entries else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run; the error for an unknown name suggests a similar one."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0].casefold(), names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = [(name, text) for name, (_, text) in COMMANDS.items()]
        for name, entries in sorted(_plugin_commands().items()):
            packages = " and ".join(map(package_of, entries))
            about = summary(entries[0]) if len(entries) == 1 else ""
            rows.append((name, about or f"from {packages}"))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        for name in sorted(plugin_commands().keys() & COMMANDS.keys()):
            packages = " and ".join(map(package_of, plugin_commands()[name]))
            formatter.write_text(f"The command {name!r} of {packages} is not used: core has one.")

    def invoke(self, ctx: click.Context) -> None:
        """Run the command, and ignore its return value, which is not an exit code."""
        super().invoke(ctx)


def plugin_commands() -> dict[str, list[EntryPoint]]:
    """Return the entry points of other packages' commands, without importing the packages."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group="mmmodal.commands"):
        found.setdefault(entry.name, []).append(entry)
    return found


def package_of(entry: EntryPoint) -> str:
    """Return the package of an entry point."""
    return entry.dist.name if entry.dist is not None else "an unknown package"


def _plugin_commands() -> dict[str, list[EntryPoint]]:
    """Return the commands of other packages; none can replace one of core."""
    return {name: entries for name, entries in plugin_commands().items() if name not in COMMANDS}


def _load(name: str, package: str, load: Callable[[], Any]) -> click.Command:
    try:
        # Text that a module prints on import must not become part of a command's result.
        with contextlib.redirect_stdout(sys.stderr):
            command = load()
        if not isinstance(command, click.Command):
            raise TypeError(f"{command!r} is not a click command")
    except (Exception, SystemExit) as error:
        if is_debugging():
            raise
        reason = f"{type(error).__name__}: {one_line(error)}"
        return _refusing(name, f"command {name!r} from {package} failed to load: {reason}")
    return command


def _refusing(name: str, reason: str) -> click.Command:
    """Return a command that accepts any arguments and raises an error with the reason."""

    def refuse() -> None:
        raise PluginError(reason)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, settings, refuse, add_help_option=False)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  mmmodal chat my-model --image a.jpg",
)
@click.version_option(package_name=CORE, message="%(prog)s %(version)s")
# DeepSpeed's launcher adds this in front of our arguments; LOCAL_RANK, which is used, is the same.
@click.option("--local_rank", type=int, expose_value=False, hidden=True)
def mmmodal() -> None:
    """Compose multimodal chat models from parts, train them, and chat with them."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code: 0, 1 after an error, 2 for wrong usage."""
    try:
        code = mmmodal.main(list(arguments), prog_name="mmmodal", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:  # click has printed a line break after ^C
        return _fail("the input ended") if isinstance(error.__cause__, EOFError) else 130
    except BrokenPipeError:
        # The reader of our output closed the pipe; flushing at exit must not raise an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MMModalError as error:
        return _fail(str(error))
    except Exception as error:
        hint = "Set MMMODAL_DEBUG=1 for the traceback."
        return _fail(f"unexpected {type(error).__name__}: {one_line(error)}. {hint}")


def _fail(message: str) -> int:
    if is_debugging():
        import traceback

        traceback.print_exc()
    else:
        click.echo(f"Error: {message}", err=True)
    return 1


def _warning_line(message: Warning | str, *place: object, **more: object) -> str:
    return f"Warning: {message}\n"


def main() -> None:
    """Run the command line of this process."""
    if not is_debugging():
        # The place in the code is of no use to users.
        warnings.formatwarning = _warning_line
    with contextlib.suppress(OSError, ValueError, AttributeError):  # where there is no stderr
        faulthandler.enable()  # compiled code of a plugin that crashes is named by the traceback
    sys.exit(run(sys.argv[1:]))
