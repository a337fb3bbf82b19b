"""What a response depends on changes with each file that a model is loaded from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mmmodal.authoring.parts import CheckpointError
from mmmodal_lmms_eval.response_cache import identity


def test_a_changed_byte_is_another_model(start: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(start, tmp_path / "a")
    first = identity(str(folder))
    assert identity(str(shutil.copytree(start, tmp_path / "b"))) == first
    assert "mmmodal-core" in first["code"]
    weights = folder / "model.safetensors"
    times = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert identity(str(folder)) != first


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        identity(str(tmp_path))
