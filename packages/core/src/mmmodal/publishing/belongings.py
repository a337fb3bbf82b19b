"""The files of a folder that belong to its model, in the form in which they are published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mmmodal.adapters.folder import (
    ADAPTER_CONFIG,
    ADAPTER_NOTE,
    ADAPTER_WEIGHTS,
    Adapter,
    find_adapter,
)
from mmmodal.digests import weight_files
from mmmodal.downloads import is_hub_id
from mmmodal.errors import CheckpointError
from mmmodal.making.loading import load_processor
from mmmodal.pretrained import WEIGHT_FILES

__all__ = ["Belonging", "belongings", "left_out"]

SETTINGS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    ADAPTER_CONFIG,
)
"""Files that may contain paths of this machine, which are removed."""

MODEL_FILES = (
    *SETTINGS,
    *WEIGHT_FILES,
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    ADAPTER_NOTE,
    ADAPTER_WEIGHTS,
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
)


@dataclass(frozen=True)
class Belonging:
    """One file to publish."""

    name: str
    content: Path | bytes
    """The path of the file, or its content if that differs from the file in the folder."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        content = self.content
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def belongings(folder: Path, base: str | None = None) -> list[Belonging]:
    """Return the files of the model or adapter in `folder`; no other file is ever published.

    Args:
        folder: a folder that mmmodal wrote: composed, trained, merged or converted.
        base: the Hub id of an adapter's published base model.

    Raises:
        CheckpointError: the model is incomplete, or the base model of an adapter is not published.
        PartError: weights are missing.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    adapter = find_adapter(folder)
    if adapter is None:
        load_processor(folder)  # raises an error with the reason if the folder is not a model
        if base is not None:
            raise CheckpointError(f"{folder} is not an adapter; leave out the base")
    else:
        base = _published_base(adapter, base)
    _check_weights(weight_files(str(folder)) if adapter is None else [folder / ADAPTER_WEIGHTS])
    return [_belonging(path, base) for path in sorted(folder.iterdir()) if _belongs(path)]


def _belongs(path: Path) -> bool:
    return path.is_file() and any(fnmatch(path.name, pattern) for pattern in MODEL_FILES)


def _published_base(adapter: Adapter, given: str | None) -> str:
    base = given or adapter.settings.base_model_name_or_path
    if not is_hub_id(base):
        raise CheckpointError(
            f"{adapter.source} is an adapter of {base}, which is not published; push that "
            "first, and name it with --base OWNER/NAME"
        )
    return base


def _check_weights(files: Sequence[Path]) -> None:
    from safetensors import safe_open

    for path in files:
        try:
            with safe_open(str(path), framework="np"):
                pass
        except Exception:  # safetensors has its own error class, which differs by version
            state = "is damaged" if path.exists() else "is missing"
            raise CheckpointError(f"{path} {state}; copy or save it again") from None


def _belonging(path: Path, base: str | None) -> Belonging:
    """Return a file unchanged, or without the paths of this machine."""
    if path.name not in SETTINGS:
        return Belonging(path.name, path)
    values = json.loads(path.read_text(encoding="utf-8"))
    cleaned = without_places(values)
    if path.name == ADAPTER_CONFIG:
        cleaned["base_model_name_or_path"] = base
    if cleaned == values:
        return Belonging(path.name, path)
    return Belonging(path.name, (json.dumps(cleaned, indent=2, sort_keys=True) + "\n").encode())


def without_places(value: Any, key: str = "") -> Any:
    """Return settings with every `…path`, `…file` and `…dir` of this machine emptied."""
    if isinstance(value, dict):
        return {name: without_places(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_places(inner, key) for inner in value]
    is_place = isinstance(value, str) and key.endswith(("path", "file", "dir"))
    return "" if is_place and not is_hub_id(value) else value


def left_out(folder: Path, taken: list[Belonging]) -> Iterator[str]:
    """Yield the names in the folder that are not published."""
    names = {belonging.name for belonging in taken}
    for path in sorted(folder.iterdir()):
        if path.name not in names and not path.name.startswith("."):
            yield f"{path.name}/" if path.is_dir() else path.name
