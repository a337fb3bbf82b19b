"""Tiny installed packages for tests: a module and its metadata in a folder on PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ENCODER = """
import mmmodal

class Ears(mmmodal.Encoder):
    name = "{name}"
    modality = "audio"
    width = 8

    def preprocess(self, item): ...
    def example(self): ...
    def build(self): ...

@mmmodal.hookimpl
def mmmodal_encoders():
    return [Ears]
"""


def install(
    folder: Path,
    name: str,
    module: str,
    *,
    requires: Sequence[str] = (),
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Install a package of one module into `folder`; without `entry_points` it is a plugin."""
    import_name = name.replace("-", "_")
    groups = entry_points or {"mmmodal": {name.removeprefix("mmmodal-"): import_name}}
    (folder / f"{import_name}.py").write_text(module)
    info = folder / f"{import_name}-0.1.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 0.1"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "RECORD").write_text("")
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in groups.items()
    )
    (info / "entry_points.txt").write_text(text)


def run_python(
    *arguments: str, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a separate process, with the packages in `path` installed."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MMMODAL_")}
    variables |= environment
    if path is not None:
        known = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), known)))
    return subprocess.run(
        [sys.executable, *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_mmmodal(
    *arguments: str, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the `mmmodal` command in a separate process."""
    return run_python("-m", "mmmodal", *arguments, path=path, **environment)
