"""The command line: lazy commands, one-line errors and exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fake_packages import install, run_mmmodal, run_python
from mmmodal.cli import main as cli
from mmmodal.cli.main import run
from mmmodal.errors import MediaError

COMMANDS = '''
import click, sys
from mmmodal.errors import MediaError

print("noise at import")

@click.command()
@click.option("--count", type=int)
def hello(count):
    """Say hello."""
    click.echo("hello")
    return 7

@click.command()
def refused():
    raise MediaError("missing", "a.png", "no such file")

@click.command()
def surprised():
    raise TypeError("one\\ntwo")

@click.command()
def interrupted():
    raise KeyboardInterrupt

@click.command()
def ended():
    raise EOFError

@click.command()
@click.pass_context
def leaves(context):
    context.exit(4)

not_a_command = 3
'''


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with packages that add good, failing and broken commands."""
    folder = tmp_path_factory.mktemp("commands")
    names = ["hello", "refused", "surprised", "interrupted", "ended", "leaves"]
    entries = {name: f"mmmodal_commands:{name}" for name in names}
    entries |= {"junk": "mmmodal_commands:not_a_command", "plugins": "mmmodal_commands:hello"}
    entries |= {"twice": "mmmodal_commands:hello"}
    install(folder, "mmmodal-commands", COMMANDS, entry_points={"mmmodal.commands": entries})
    broken = {"mmmodal.commands": {"nope": "mmmodal_broken:nope", "twice": "mmmodal_broken:x"}}
    install(folder, "mmmodal-broken", "import no_such_module", entry_points=broken)
    return folder


def test_help_lists_commands_of_core_and_of_packages(commands: Path) -> None:
    result = run_mmmodal("-h", path=commands)

    assert result.returncode == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "plugins List the plugins and their status." in lines
    assert "hello Say hello." in lines
    assert "nope from mmmodal-broken" in lines
    assert result.stderr == ""


def test_a_command_of_a_package_runs_and_its_noise_is_kept_off_stdout(commands: Path) -> None:
    result = run_mmmodal("hello", path=commands)

    assert (result.returncode, result.stdout) == (0, "hello\n")
    assert "noise at import" in result.stderr


def test_a_command_that_fails_to_load_says_so_when_it_is_called(commands: Path) -> None:
    result = run_mmmodal("nope", "--any", "thing", path=commands)

    assert result.returncode == 1
    assert result.stderr == (
        "Error: command 'nope' from mmmodal-broken failed to load: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )


def test_debugging_a_command_that_fails_to_load_shows_the_traceback(commands: Path) -> None:
    result = run_mmmodal("nope", path=commands, MMMODAL_DEBUG="1")

    assert result.returncode == 1
    assert "Traceback" in result.stderr and "mmmodal_broken.py" in result.stderr


def test_an_entry_point_that_is_no_command_says_so(commands: Path) -> None:
    result = run_mmmodal("junk", path=commands)

    assert result.returncode == 1
    assert "command 'junk' from mmmodal-commands failed to load" in result.stderr


def test_a_command_of_two_packages_names_both(commands: Path) -> None:
    result = run_mmmodal("twice", path=commands)

    assert result.returncode == 1
    assert "provided by" in result.stderr
    assert "mmmodal-broken" in result.stderr and "mmmodal-commands" in result.stderr


def test_a_package_cannot_replace_a_command_of_core(commands: Path) -> None:
    result = run_mmmodal("plugins", "--json", path=commands)

    assert json.loads(result.stdout)[0]["name"] == "core"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("refused", 1, "Error: a.png: no such file\n"),
        (
            "surprised",
            1,
            "Error: unexpected TypeError: one two. Set MMMODAL_DEBUG=1 for the traceback.\n",
        ),
        ("interrupted", 130, "\n"),
        ("ended", 1, "\nError: the input ended\n"),
        ("leaves", 4, ""),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(
    commands: Path, name: str, code: int, message: str
) -> None:
    result = run_mmmodal(name, path=commands)

    assert result.returncode == code
    assert result.stderr.removeprefix("noise at import\n") == message


@pytest.mark.parametrize("name", ["refused", "surprised"])
def test_debugging_shows_the_traceback(commands: Path, name: str) -> None:
    result = run_mmmodal(name, path=commands, MMMODAL_DEBUG="1")

    assert result.returncode == 1
    assert "Traceback" in result.stderr and "mmmodal_commands.py" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["plugin"], "No such command 'plugin'. Did you mean 'plugins'?"),
        (["zzz"], "No such command 'zzz'."),
        (["--zzz"], "No such option"),
        (["plugins", "--zzz"], "No such option"),
        (["plugins", "check"], "Missing argument 'NAME'"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert hint in capsys.readouterr().err


def test_an_unknown_plugin_to_check_suggests_a_close_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plugins", "check", "cor"]) == 1
    assert "there is no plugin 'cor'. Did you mean 'core'?" in capsys.readouterr().err


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"mmmodal {version('mmmodal-core')}\n"


def test_a_very_long_message_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fails() -> None:
        raise ValueError("x" * 10_000)

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: fails)

    assert run(["plugins"]) == 1
    assert len(capsys.readouterr().err) < 700


def test_errors_of_the_toolkit_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fails() -> None:
        raise MediaError("missing", "two  spaces.png", "no such file")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: fails)

    assert run(["plugins"]) == 1
    assert capsys.readouterr().err == "Error: two  spaces.png: no such file\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, lines: int) -> None:
    module = (
        "import click, sys, time\n@click.command()\ndef talk():\n"
        f"    sys.stdin.read()\n    for _ in range({lines}): click.echo('words')\n"
    )
    entries = {"mmmodal.commands": {"talk": "mmmodal_talk:talk"}}
    install(tmp_path, "mmmodal-talk", module, entry_points=entries)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mmmodal.cli.main import main; sys.argv[1:] = ['talk']; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode in (1, -signal.SIGPIPE)


def test_the_module_runs_as_the_command() -> None:
    result = run_python("-m", "mmmodal", "--version")

    assert result.returncode == 0 and result.stdout.startswith("mmmodal ")
