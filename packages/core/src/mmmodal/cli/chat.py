"""`mmmodal chat`: talk to a model over several turns, with media."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from mmmodal.cli.generate import MEDIA_SETTINGS, loading_options, open_chat, talking_options
from mmmodal.cli.options import limit_option, read_limits, read_media_options
from mmmodal.cli.output import talking

COMMANDS = {
    "/reset": "forget the conversation",
    "/save PATH": "write the conversation as a record",
    "/help": "show this",
    "/exit": "leave (or Ctrl-D)",
}


@click.command(context_settings=MEDIA_SETTINGS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--system", help="What the model is told first.")
@limit_option
@talking_options
@loading_options
@click.argument("media", nargs=-1, type=click.UNPROCESSED)
def chat(
    checkpoint: Path,
    system: str | None,
    max_new_tokens: int,
    temperature: float,
    limits: tuple[str, ...],
    media: tuple[str, ...],
    **loading: Any,
) -> None:
    """Talk to CHECKPOINT. Media for the first turn: --image PATH, --audio PATH …"""
    from mmmodal.plugins import registry

    pairs = read_media_options(media, registry().names("modalities"))
    with talking():
        allowed = read_limits(limits)
        opened = open_chat(checkpoint, system, max_new_tokens, temperature, allowed, **loading)
        session = Session(opened)
    for kind, path in pairs:
        session.attach(kind, path)
    session.run()


class Session:
    """Read lines, obey commands, stream answers."""

    def __init__(self, chat: Any) -> None:
        self.chat = chat
        self.kinds = sorted(chat.processor.preparer.entries)
        self.pending: list[dict[str, Any]] = []

    def run(self) -> None:
        """Go on until the input ends; one clear line for what cannot be done, then the next."""
        from mmmodal.errors import MMModalError, is_debugging, one_line

        self.help()
        while (line := self._read()) is not None:
            try:
                if not self.obey(line.strip()):
                    return
            except MMModalError as error:
                click.echo(f"Error: {error}", err=True)
            except KeyboardInterrupt:
                click.echo("\n(stopped; the turn is forgotten, /exit leaves)", err=True)
            except Exception as error:
                # A conversation is not lost to one turn that goes wrong.
                if is_debugging():
                    raise
                reason = f"unexpected {type(error).__name__}: {one_line(error, 300)}"
                click.echo(f"Error: {reason}", err=True)

    def obey(self, line: str) -> bool:
        """Do what one line says; False when it says to leave."""
        command, _, argument = line.partition(" ")
        if command in ("/exit", "/quit"):
            return False
        if command == "/reset":
            self.chat.reset()
            self.pending = []
        elif command == "/help":
            self.help()
        elif command == "/save" and argument:
            self.chat.save(_path(argument))
            click.echo(f"saved to {_path(argument)}", err=True)
        elif command.startswith("/") and command[1:] in self.kinds and argument:
            self.attach(command[1:], _path(argument))
        elif command.startswith("/"):
            click.echo(
                f"Error: unknown command or missing argument: {line}; /help lists all", err=True
            )
        elif line or self.pending:
            self.answer(line)
        return True

    def attach(self, kind: str, path: str) -> None:
        """Read a medium for the next turn now, so that a wrong path is told at once."""
        self.chat.processor.read(kind, path)
        self.pending.append({"type": kind, "path": path})
        click.echo(f"{kind} {path} will go with your next message", err=True)

    def answer(self, text: str) -> None:
        """Say the text with the media that wait, and stream the answer to stdout."""
        self.chat.say([*self.pending, text], stream=_emit)
        self.pending = []  # kept until here: a turn that fails does not use them up
        click.echo()
        if self.chat.cut_short:
            click.echo("(cut short: the answer reached its longest)", err=True)

    def help(self) -> None:
        """Tell the commands."""
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
                except KeyboardInterrupt:
                    click.echo(err=True)  # a half-typed line is dropped
        return sys.stdin.readline() or None


def _path(text: str) -> str:
    """Read a path as typed or dragged into a terminal: quoted, or with ~."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return str(Path(text).expanduser())


def _emit(piece: str) -> None:
    click.echo(piece, nl=False)
    sys.stdout.flush()
