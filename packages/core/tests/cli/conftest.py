"""What the tests of `mmmodal data` share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_files import encode_sound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a picture and a sound."""
    (tmp_path / "media").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "media/a.png")
    (tmp_path / "media/b.wav").write_bytes(encode_sound(np.zeros(1600), "WAV", "PCM_16"))
    return tmp_path
