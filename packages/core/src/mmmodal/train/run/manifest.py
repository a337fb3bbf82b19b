"""The manifest of a checkpoint folder: the size and SHA-256 of every file, and its writer.

Safetensors detect no flipped bit of a tensor, and files of torch.save few, so that without a
manifest training would silently resume from a damaged checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmmodal.files import sync

__all__ = ["MANIFEST", "read_facts", "seal", "what_is_wrong"]

MANIFEST = "manifest.json"
"""The file that makes a folder a complete checkpoint."""

FORMAT = 1
"""The version of the manifest; newer versions are not read."""

READERS = 4
"""The number of files that are read at a time."""


def seal(folder: Path, facts: Mapping[str, Any]) -> None:
    """Flush every file of a folder to the disk, and write the manifest last.

    Args:
        folder: the folder.
        facts: facts that a reader needs before it opens the files, as JSON values.
    """
    paths = _files(folder)
    with ThreadPoolExecutor(READERS) as pool:
        rows = pool.map(_describe, [folder / path for path in paths])
        files = dict(zip(map(str, paths), rows, strict=True))
    content = {"format": FORMAT, **facts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    sync(folder / MANIFEST)
    for inner in {(folder / path).parent for path in paths} | {folder}:
        sync(inner)


def what_is_wrong(folder: Path) -> str | None:
    """Return a difference between a folder and its manifest, or None."""
    content = _read(folder)
    if content is None:
        missing = not (folder / MANIFEST).exists()
        return f"its {MANIFEST} is {'missing' if missing else 'damaged'}"
    expected = content["files"]
    found = {str(path) for path in _files(folder)}
    if odd := sorted(found ^ expected.keys()):
        return f"{odd[0]} is {'missing' if odd[0] in expected else 'not in its manifest'}"
    for name, row in expected.items():
        if (folder / name).stat().st_size != row["bytes"]:
            return f"the length of {name} is not that of its manifest"
    with ThreadPoolExecutor(READERS) as pool:
        sums = pool.map(_sha256_or_none, [folder / name for name in expected])
        for (name, row), digest in zip(expected.items(), sums, strict=True):
            if digest != row["sha256"]:
                reason = f"the SHA-256 of {name} is not that of its manifest"
                return f"{name} cannot be read" if digest is None else reason
    return None


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the facts of a sealed folder; check it with `what_is_wrong` first."""
    content = _read(folder) or {}
    return {key: value for key, value in content.items() if key not in ("format", "files")}


def _files(folder: Path) -> list[Path]:
    """Return the names of the files in a folder, without the manifest."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in paths if str(path) != MANIFEST)


def _describe(path: Path) -> dict[str, Any]:
    sync(path)
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_or_none(path: Path) -> str | None:
    try:
        return _sha256(path)
    except OSError:
        return None


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sound = content["format"] == FORMAT and all(
            {"bytes", "sha256"} <= row.keys() for row in content["files"].values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if sound else None
