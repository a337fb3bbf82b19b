"""What the tests of `mmmodal data` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_files import encode_sound
from mmmodal.cli.main import run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a subcommand of `mmmodal data`; return its code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(["data", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a picture and a sound."""
    (tmp_path / "media").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "media/a.png")
    (tmp_path / "media/b.wav").write_bytes(encode_sound(np.zeros(1600), "WAV", "PCM_16"))
    return tmp_path
