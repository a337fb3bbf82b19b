"""Whatever happens to a file, it is a valid item or one MediaError; `make fuzz` tries it longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worlds import ROOT

FUZZING = ROOT / "packages/core/tests/fuzzing"
DYING = """
import os
from PIL import Image
original, calls = Image.Image.load, []
def load(self):
    calls.append(self)
    return os.abort() if len(calls) > 900 else original(self)
Image.Image.load = load
"""


def fuzz(folder: Path, kind: str, count: int, **environment: str) -> tuple[Any, str]:
    """Return the results and what was printed."""
    command = [sys.executable, str(FUZZING), "--kinds", kind, "--count", str(count)]
    command += ["--json", str(folder / "results.json"), "--keep", str(folder / "kept")]
    run = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | environment
    )
    assert run.stderr == ""
    return json.loads((folder / "results.json").read_text())[kind], run.stdout


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_damaged_files_are_valid_items_or_media_errors(kind: str, tmp_path: Path) -> None:
    results, printed = fuzz(tmp_path, kind, 2_000)
    print(printed)
    assert results["failures"] == [], printed
    assert results["trials"] == 2_000
    assert 0.05 < results["accepted"] < 0.4, "most damage is found, and some is none"


def test_process_that_dies_is_reported_with_the_file_that_killed_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DYING)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    results, printed = fuzz(tmp_path, "image", 400, PYTHONPATH=path)
    assert results["trials"] == 400, "the others are tried all the same"
    assert results["failures"]
    for row in results["failures"]:
        assert row["failure"].startswith("ended with -6")
        assert row["file"] in printed
        assert Path(row["file"]).stat().st_size
