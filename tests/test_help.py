"""Every help page has an example that its command accepts, and shows defaults in one style."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from fake_packages import run_python
from mmmodal.cli.main import COMMANDS, mmmodal
from mmmodal.cli.parent import ParentCommand

ROOT = click.Context(mmmodal, info_name="mmmodal")

WITHOUT_REPORT = {
    "chat",
    "data",
    "datagen",
    "datagen pipelines copy",
    "datagen pipelines show",
    "playground",
    "playground draw",
    "playground make",
    "playground make benchmark",
    "playground raw",
    "playground say",
    "playground serve",
    "recipes copy",
    "recipes show",
}
"""The commands that neither list nor report: they talk, serve, print a file or write one."""


def walk(
    command: click.Command, context: click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Context]]:
    """Yield every command below a group, by its words."""
    if path:
        yield " ".join(path), context
    if isinstance(command, click.Group | ParentCommand):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            inner = click.Context(found, info_name=name, parent=context)
            yield from walk(found, inner, (*path, name))


PAGES = dict(walk(mmmodal, ROOT))


def examples(page: str) -> list[str]:
    """Return the command lines of a help page's example."""
    _, found, text = page.partition("Example:\n")
    assert found, page
    return text.replace("\\\n", " ").strip().splitlines()


def accepts(words: list[str]) -> str:
    """Return the name of the command that takes these words, after parsing all of them."""
    context, name = ROOT, []
    assert words.pop(0) == "mmmodal"
    parents = click.Group | ParentCommand
    while isinstance(context.command, parents) and words and not words[0].startswith("-"):
        found = context.command.get_command(context, words[0])
        if isinstance(context.command, ParentCommand) and found is None:
            break
        assert found is not None, words
        name.append(words.pop(0))
        context = click.Context(found, info_name=name[-1], parent=context, **found.context_settings)
    given, rest, _ = context.command.make_parser(context).parse_args(words)
    assert not rest
    for parameter in context.command.params:
        if parameter.name in given:
            parameter.type_cast_value(context, given[parameter.name])
    missing = [p.name for p in context.command.params if p.required and not given.get(str(p.name))]
    assert not missing
    return " ".join(name)


@pytest.mark.parametrize("name", PAGES)
def test_an_example_is_accepted_by_its_command(name: str) -> None:
    context = PAGES[name]
    (line,) = examples(context.command.get_help(context))
    assert accepts(shlex.split(line)).startswith(name)


def test_the_first_page_has_an_example() -> None:
    (line,) = examples(mmmodal.get_help(ROOT))
    assert accepts(shlex.split(line)) in COMMANDS


def test_every_report_can_be_json() -> None:
    without = {
        name
        for name, context in PAGES.items()
        if not any("--json" in parameter.opts for parameter in context.command.params)
    }
    assert without == WITHOUT_REPORT


@pytest.mark.parametrize("name", PAGES)
def test_defaults_are_shown_in_one_style(name: str) -> None:
    context = PAGES[name]
    for parameter in context.command.params:
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            # Without parsing there is no value but the default.
            value = parameter.get_default(context)
            has_default = value not in (None, (), []) and isinstance(value, int | float | str)
            assert parameter.show_default or not has_default, parameter.opts
    page = " ".join(context.command.get_help(context).split())
    assert not re.search(r"\((default|[0-9.]+|True|False)\)", page)


def test_plugin_commands_have_lines_of_their_own() -> None:
    listed = " ".join(mmmodal.get_help(ROOT).partition("Commands:")[2].split())
    for name in set(mmmodal.list_commands(ROOT)) - set(COMMANDS):
        line = (PAGES[name].command.help or "").partition("\n\n")[0]
        assert f"{name} {' '.join(line.split())}" in listed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_completes_commands(shell: str) -> None:
    at = "back" if shell == "fish" else "1"
    asked = {"_MMMODAL_COMPLETE": f"{shell}_complete", "COMP_WORDS": "mmmodal back"}
    code = (
        f"import os, sys; os.environ.update({asked | {'COMP_CWORD': at}!r})\n"
        "from mmmodal.cli.main import run; sys.exit(run([]))"
    )
    assert "backbones" in run_python("-c", code).stdout
