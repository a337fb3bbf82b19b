"""Tiny parts in the formats users have, made once for all tests of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmmodal
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


@pytest.fixture(scope="session")
def start(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of both encoders and a Llama, for tests that only read it."""
    out = tmp_path_factory.mktemp("composed") / "start"
    encoders = {"image": f"siglip:{parts['siglip']}", "audio": f"whisper:{parts['whisper']}"}
    mmmodal.compose(out, backbone=f"auto:{parts['llama']}", encoders=encoders)
    return out
