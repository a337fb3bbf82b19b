"""The trained parts of this package, whose checksums are verified before use."""

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
    """A file of a shipped part is missing or has been changed."""


def shipped() -> Path:
    """Return the folder of the shipped parts, with their checksums, logs and quality."""
    return Path(str(files("mmmodal_playground"))) / "trained"


def part_folder(name: str, root: Path | None = None) -> Path:
    """Return the folder of a part, after verifying the checksums of its files.

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
            state = "has been changed" if (root / path).is_file() else "is missing"
            raise DamagedPartError(f"{root / path}: {state}; {REPAIR}")
    return root / name


REPAIR = "install it again: pip install --force-reinstall --no-deps mmmodal-playground"


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
    """Return the measured quality of a part on held-out data."""
    quality: dict[str, dict[str, float]] = json.loads(
        (shipped() / "quality.json").read_text(encoding="utf-8")
    )
    return quality[name]
