"""Tiny parts in the formats users have, made once for all tests of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmmodal_playground.tiny import tiny_siglip, tiny_whisper
from mmmodal_playground.tiny_language import FAMILIES, tiny_language_model


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of random-init parts: `siglip`, `whisper` and a language model of each family."""
    root = tmp_path_factory.mktemp("parts")
    folders = {family: tiny_language_model(root / family, family) for family in FAMILIES}
    folders["siglip"] = Path(tiny_siglip(root / "siglip"))
    folders["whisper"] = Path(tiny_whisper(root / "whisper"))
    return folders
