"""A tiny SigLIP in the format of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(parts: dict[str, Path]) -> Path:
    """A folder of transformers with random weights: pictures of 32 pixels, patches of 8."""
    return parts["siglip"]
