"""A tiny Whisper in the format of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(parts: dict[str, Path]) -> Path:
    """A folder of transformers with random weights, for windows of 2 s."""
    return parts["whisper"]
