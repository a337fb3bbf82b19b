"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from mmmodal.contracts import Format
    from mmmodal.limits import LimitSettings

__all__ = [
    "chat_template_option",
    "data_argument",
    "dtype_option",
    "format_options",
    "json_option",
    "known_format",
    "limit_option",
    "read_limits",
    "read_media_options",
    "read_template",
    "reading_options",
    "root_option",
    "selection_options",
    "thoughts_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def known_format(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the name of a format, if there is one; plugins are not loaded for `--help`."""
    if value is None:
        return None
    from mmmodal.config import suggest
    from mmmodal.records.detection import formats

    if value not in formats():
        reason = f"unknown format {value!r}{suggest(value, formats())}"
        raise click.BadParameter(reason, ctx=context, param=parameter)
    return value


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for reading a data file; the command gets `format` and `root_maps`."""
    return format_options("--set")(command)


def format_options(flag: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return `reading_options` with another name for the options of the format.

    Args:
        flag: the option that sets one, for commands that have a `--set` of their own.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def reading(
            *arguments: Any, format_name: str | None, format_settings: tuple[str, ...], **named: Any
        ) -> Any:
            chosen = _read_format(format_name, format_settings, flag)
            return command(*arguments, format=chosen, **named)

        for option in _format_options(flag):
            reading = option(reading)
        return reading

    return decorate


def _format_options(flag: str) -> list[Callable[[Any], Any]]:
    """Return the options for reading a data file, the last one first."""
    return [
        click.option(
            "--root-map",
            "root_maps",
            multiple=True,
            metavar="OLD=NEW",
            help="Replace the beginning of media paths, as in 'C:\\data=data'; repeatable.",
        ),
        click.option(
            flag,
            "format_settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set an option of --format, as in columns.audio=clip; repeatable.",
        ),
        click.option(
            "--format",
            "format_name",
            metavar="FORMAT",
            callback=known_format,
            help="The format of all rows (see `mmmodal formats`); by default it is detected for "
            "each.",
        ),
    ]


def _read_format(name: str | None, settings: Sequence[str], flag: str) -> Format | None:
    """Return the format of `--format` with its options.

    Raises:
        ConfigError: an option is unknown, or its value is not valid.
    """
    if name is None:
        if settings:
            raise click.UsageError(f"{flag} needs --format, whose options it sets")
        return None
    from mmmodal.config import apply_overrides
    from mmmodal.records.detection import find_format, formats

    return find_format(name, apply_overrides({}, settings, formats()[name].Options))


def data_argument(name: str) -> Callable[[Command], Command]:
    """Add a data set with the options that say what is read of it; the command gets its `shards`.

    Args:
        name: the name of the argument in the help.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(
            *arguments: Any,
            path: str,
            split: str | None,
            name: str | None,
            revision: str | None,
            **options: Any,
        ) -> Any:
            from mmmodal.records.shards import find_shards

            shards = find_shards(path, split=split, name=name, revision=revision)
            return command(*arguments, shards=shards, **options)

        return cast(Command, click.argument("path", metavar=name)(selection_options(run)))

    return decorate


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is read of a data set: `split`, `name` and `revision`."""
    for option, text in SELECTION.items():
        command = click.option(option, help=text)(command)
    return command


SELECTION = {
    "--revision": "The branch, tag or commit of a data set of the Hub.",
    "--name": "The configuration of a data set of the Hub.",
    "--split": "The split, where the data set has several.",
}
"""The options that say what is read of a data set."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
thoughts_option = click.option(
    "--thoughts",
    default="keep",
    show_default=True,
    type=click.Choice(["keep", "drop"]),
    help="Learn the thoughts in answers, such as <think>…</think>, or drop them.",
)
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of relative media paths; by default that of PATH.",
)


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
    """Return the limits of the values of `--limit`.

    Raises:
        ConfigError: a limit is unknown, or its value is not a number.
    """
    from mmmodal import limits

    return limits.read_limits(dict(each.partition("=")[::2] for each in given))


def read_media_options(arguments: Sequence[str], known: Sequence[str]) -> list[tuple[str, str]]:
    """Return `--MODALITY VALUE` pairs in their order, which click does not keep.

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


def chat_template_option(purpose: str) -> Callable[..., Any]:
    """Return the option for a Jinja file; `purpose` completes its help."""
    return click.option(
        "--chat-template",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help=f"A Jinja file {purpose}.",
    )


def read_template(path: Path | None) -> str | None:
    """Return the text of the file of `--chat-template`.

    Raises:
        ConfigError: it is not UTF-8, or cannot be read.
    """
    from mmmodal.errors import ConfigError
    from mmmodal.utf8 import NotUtf8Error, read_text

    try:
        return read_text(path) if path else None
    except NotUtf8Error as error:
        raise ConfigError(str(path), [f"{error}; save it as UTF-8"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"it cannot be read ({error.strerror})"]) from None


dtype_option = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="The precision of the weights; auto is that of the language model.",
)
