"""`mmmodal chat`: chat with a model over several turns, with media."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from mmmodal.cli.generate import MEDIA_SETTINGS, loading_options, open_chat, talking_options
from mmmodal.cli.options import limit_option, read_limits, read_media_options
from mmmodal.cli.output import example, talking
from mmmodal.cli.text import check_typed, input_lines
from mmmodal.cli.typed_paths import typed_path as _path
from mmmodal.cli.typed_paths import typed_paths

COMMANDS = {
    "/reset": "forget the conversation",
    "/save PATH": "write the conversation as a record",
    "/help": "show these commands",
    "/exit": "end the chat (or Ctrl-D)",
}


@click.command(
    context_settings=MEDIA_SETTINGS,
    epilog=example("mmmodal chat my-model --image a.jpg --audio b.mp3"),
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--system", help="The system message in front of the conversation.")
@limit_option
@talking_options
@loading_options
@click.argument("media", nargs=-1, type=click.UNPROCESSED)
def chat(
    checkpoint: Path,
    system: str | None,
    limits: tuple[str, ...],
    media: tuple[str, ...],
    **options: Any,
) -> None:
    """Chat with the model CHECKPOINT. Media for the first turn: --image PATH, --audio PATH …"""
    from mmmodal.plugins import registry

    check_typed(system, "--system")
    pairs = read_media_options(media, registry().names("modalities"))
    with talking():
        allowed = read_limits(limits)
        opened = open_chat(checkpoint, system, allowed, **options)
        session = Session(opened)
    for kind, path in pairs:
        session.attach(kind, path)
    session.run()


class Session:
    """A chat in a terminal: read lines, run commands, stream answers."""

    def __init__(self, chat: Any) -> None:
        self.chat = chat
        self.kinds = sorted(chat.processor.preparer.entries)
        self.pending: list[dict[str, Any]] = []
        self._lines = input_lines()

    def run(self) -> None:
        """Handle lines until the input ends; print an error as one line and continue."""
        from mmmodal.errors import MMModalError, is_debugging, one_line

        self.help()
        while (line := self._read()) is not None:
            try:
                if not self.obey(line.rstrip("\r\n")):
                    return
            except MMModalError as error:
                click.echo(f"Error: {error}", err=True)
            except KeyboardInterrupt:
                click.echo("\n(stopped; this turn is forgotten; /exit ends the chat)", err=True)
            except Exception as error:
                # An error in one turn must not end the conversation.
                if is_debugging():
                    raise
                reason = f"unexpected {type(error).__name__}: {one_line(error, 300)}"
                click.echo(f"Error: {reason}", err=True)

    def obey(self, line: str) -> bool:
        """Run the command or answer the text of one line; return False to end the chat."""
        command, _, argument = line.lstrip().partition(" ")
        command, line = command.rstrip(), line.strip()
        if command in ("/exit", "/quit"):
            return False
        if command == "/reset":
            self.chat.reset()
            self.pending = []
        elif command == "/help":
            self.help()
        elif command == "/save" and argument.strip():
            self.chat.save(_path(argument))
            click.echo(f"saved to {_path(argument)}", err=True)
        elif command.startswith("/") and command[1:] in self.kinds and argument.strip():
            for path in typed_paths(argument):
                self.attach(command[1:], path)
        elif command.startswith("/"):
            click.echo(
                f"Error: unknown command or missing argument: {line}; /help lists all", err=True
            )
        elif line or self.pending:
            self.answer(line)
        return True

    def attach(self, kind: str, path: str) -> None:
        """Read a medium for the next turn now, so that a wrong path is reported immediately."""
        medium = Path(path) if os.path.exists(path) else path  # a name may hold a colon
        self.chat.processor.read(kind, medium)
        self.pending.append({"type": kind, "path": medium})
        click.echo(f"{kind} {path} will be sent with your next message", err=True)

    def answer(self, text: str) -> None:
        """Send the text with the pending media, and stream the answer to stdout."""
        self.chat.say([*self.pending, text], stream=_emit)
        self.pending = []  # not before this point: after an error the media are still pending
        click.echo()
        if self.chat.cut_short:
            click.echo("(the answer was cut off at its maximum length)", err=True)

    def help(self) -> None:
        """Print the commands."""
        for kind in self.kinds:
            click.echo(f"  /{kind + ' PATH':<12} add {kind} to the next message", err=True)
        for command, meaning in COMMANDS.items():
            click.echo(f"  {command:<13} {meaning}", err=True)

    def _read(self) -> str | None:
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  line editing and history for input()
            while True:
                try:
                    return input("> ")
                except EOFError:
                    return None
                except UnicodeDecodeError:
                    click.echo("Error: not UTF-8 text; set the terminal to UTF-8", err=True)
                except KeyboardInterrupt:
                    click.echo(err=True)  # discard a partly typed line
        return next(self._lines, None)


def _emit(piece: str) -> None:
    click.echo(piece, nl=False)
    sys.stdout.flush()
