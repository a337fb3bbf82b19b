"""A tiny Whisper in the formats that users have."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmmodal_playground.tiny import tiny_whisper


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of transformers with random weights, for windows of 2 s."""
    return tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may damage."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path
