"""The trained parts that ship with this package, checked before they are used."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

from mmmodal.authoring.parts import MMModalError

__all__ = [
    "CHECKSUMS",
    "PARTS",
    "DamagedPartError",
    "checksums",
    "part_folder",
    "part_quality",
    "shipped",
]

PARTS = ("siglip", "whisper", "llama", "translator")
CHECKSUMS = "checksums.json"


class DamagedPartError(MMModalError):
    """A file of a shipped part is missing or not what was shipped."""


def shipped() -> Path:
    """Return the folder of the shipped parts, with their checksums, log and quality."""
    return Path(str(files("mmmodal_playground"))) / "trained"


def part_folder(name: str, root: Path | None = None) -> Path:
    """Return the folder of a part, each file of which is what was shipped.

    Raises:
        DamagedPartError: a file is missing or has another checksum.
    """
    root = root or shipped()
    try:
        expected = json.loads((root / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DamagedPartError(f"{root / CHECKSUMS}: cannot be read; {REPAIR}") from None
    for path, checksum in expected.items():
        if path.startswith(f"{name}/") and _sha256(root / path) != checksum:
            state = "is not what was shipped" if (root / path).is_file() else "is missing"
            raise DamagedPartError(f"{root / path}: {state}; {REPAIR}")
    return root / name


REPAIR = "install it anew: pip install --force-reinstall --no-deps mmmodal-playground"


def checksums(root: Path) -> dict[str, str]:
    """Return the sha256 of every file of every part under `root`, by relative path."""
    found = sorted(path for part in PARTS for path in (root / part).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): _sha256(path) for path in found}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def part_quality(name: str) -> dict[str, float]:
    """Return what was measured of a part on what it was not trained on."""
    quality: dict[str, dict[str, float]] = json.loads(
        (shipped() / "quality.json").read_text(encoding="utf-8")
    )
    return quality[name]
