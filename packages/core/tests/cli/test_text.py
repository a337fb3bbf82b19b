"""Text that is piped or typed into commands: UTF-8, or one error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from mmmodal.cli.text import check_typed, input_lines, input_text
from mmmodal.errors import MMModalError
try:
    if sys.argv[1] == "text":
        print(ascii(input_text()))
    elif sys.argv[1] == "lines":
        for line in input_lines():
            print(ascii(line))
    else:
        check_typed(sys.argv[2], "--prompt")
        print("fine")
except MMModalError as error:
    print(error)
"""


def told(how: str, *arguments: bytes | str, data: bytes = b"", **environment: str) -> list[str]:
    """Return what a process prints that reads text."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, how, *arguments],
        input=data,
        env=os.environ | environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return result.stdout.decode().splitlines()


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_pipe_is_utf8_whatever_the_locale(locale: str) -> None:
    data = "\ufeffapa é?\nini\n".encode()

    assert told("text", data=data, LC_ALL=locale) == [ascii("apa é?\nini\n")]
    assert told("lines", data=data, LC_ALL=locale) == [ascii("apa é?\n"), ascii("ini\n")]


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_pipe_that_is_not_utf8_is_one_error_that_names_the_line(locale: str) -> None:
    latin = "apa\nkafé\n".encode("latin-1")

    where = "not UTF-8 text (line 2, byte 4)"
    assert told("text", data=latin, LC_ALL=locale) == [f"standard input: {where}; send UTF-8"]
    assert told("lines", data=latin, LC_ALL=locale) == [
        ascii("apa\n"),
        "standard input, line 2: not UTF-8 text (at byte 4); send UTF-8",
    ]
    utf16 = told("lines", data="apa\n".encode("utf-16"), LC_ALL=locale)
    assert utf16 == ["standard input, line 1: it is UTF-16 text, not UTF-8; send UTF-8"]


def test_a_typed_text_that_is_not_utf8_is_one_error() -> None:
    assert told("typed", "kafé", LC_ALL="C.UTF-8") == ["fine"]
    (line,) = told("typed", "kafé".encode("latin-1"), LC_ALL="C.UTF-8")
    assert line == "--prompt: not UTF-8 text (at character 4); set the terminal to UTF-8"


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_commands_refuse_text_that_is_not_utf8_before_they_load_a_model(
    command: str, tmp_path: Path
) -> None:
    text = ["--prompt", "-"] if command == "generate" else ["--system", b"\xe9"]
    result = subprocess.run(
        [sys.executable, "-m", "mmmodal", command, str(tmp_path), *text],
        input=b"kaf\xe9",
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr.count(b"\n") == 1
    assert b"not UTF-8 text (at " in result.stderr


def test_a_chat_template_that_is_not_utf8_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_bytes(b"{# \xe9 #}")
    template = ["--chat-template", str(tmp_path / "t.jinja")]
    arguments = ["compose", str(tmp_path / "out"), "--backbone", "auto:x", *template]
    result = subprocess.run(
        [sys.executable, "-m", "mmmodal", *arguments], capture_output=True, timeout=60, check=False
    )

    assert result.returncode == 1
    assert result.stderr.decode().endswith(
        "t.jinja: not UTF-8 text (at byte 4); save it as UTF-8\n"
    )
