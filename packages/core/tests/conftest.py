"""What tests of several modules share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmmodal.cli.main import run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a subcommand of `mmmodal data`; return its code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(["data", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call
