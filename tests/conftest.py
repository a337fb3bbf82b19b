"""What the tests of whole commands share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmmodal.cli.main import run

FOREIGN_MARKERS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "is_training_test",
    "torch_compile_test",
)
"""The markers of transformers' own tests."""


def pytest_configure(config: pytest.Config) -> None:
    for name in FOREIGN_MARKERS:
        config.addinivalue_line("markers", f"{name}: of transformers' own tests")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call
