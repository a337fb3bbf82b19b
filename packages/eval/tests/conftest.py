"""What the tests of `mmmodal evaluate` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmmodal.cli.main import run
from questions import write_questions

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Run `mmmodal evaluate` in a folder of its own; return its code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(["evaluate", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file of eight conversations about pictures and clips, of sixteen questions."""
    return write_questions(tmp_path / "data")
