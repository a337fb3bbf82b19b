"""The files of a folder that belong to its model, as they are published."""

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
from mmmodal.errors import CheckpointError
from mmmodal.making.loading import load_processor
from mmmodal.pretrained import WEIGHT_FILES

__all__ = ["Belonging", "belongings", "is_hub_id", "is_repository_name", "left_out"]

SETTINGS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    ADAPTER_CONFIG,
)
"""What may name places of this machine, which are left out."""

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
    """Where it is, or what it holds where it differs from the file in the folder."""

    @property
    def size(self) -> int:
        """Its bytes."""
        content = self.content
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def belongings(folder: Path, base: str | None = None) -> list[Belonging]:
    """List what belongs to the model or adapter in `folder`; nothing else is ever published.

    Args:
        folder: what `mmmodal` made: composed, trained, merged, converted.
        base: the Hub id under which an adapter's base is published.

    Raises:
        CheckpointError: it holds no whole model, or an adapter whose base others cannot find.
        PartError: weights are missing.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    adapter = find_adapter(folder)
    if adapter is None:
        load_processor(folder)  # says what is wrong with a folder that is no model
        if base is not None:
            raise CheckpointError(f"{folder} is no adapter; it needs no base")
    else:
        base = _published_base(adapter, base)
    _check_weights(weight_files(str(folder)) if adapter is None else [folder / ADAPTER_WEIGHTS])
    return [_belonging(path, base) for path in sorted(folder.iterdir()) if _belongs(path)]


def is_hub_id(source: object) -> bool:
    """Say whether a noted source is a Hub id, and not a folder."""
    return isinstance(source, str) and not Path(source).exists() and is_repository_name(source)


def is_repository_name(text: str) -> bool:
    """Say whether a text can be the name of a repository with its owner."""
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    try:
        utils.validate_repo_id(text)  # type: ignore[attr-defined, unused-ignore]
    except HFValidationError:
        return False
    return text.count("/") == 1


def _belongs(path: Path) -> bool:
    return path.is_file() and any(fnmatch(path.name, pattern) for pattern in MODEL_FILES)


def _published_base(adapter: Adapter, given: str | None) -> str:
    base = given or adapter.settings.base_model_name_or_path
    if not is_hub_id(base):
        raise CheckpointError(
            f"{adapter.source} is an adapter of {base}, which others do not have; push that "
            "first, and name it: --base OWNER/NAME"
        )
    return base


def _check_weights(files: Sequence[Path]) -> None:
    from safetensors import safe_open

    for path in files:
        try:
            with safe_open(str(path), framework="np"):
                pass
        except Exception:  # safetensors has an error class of its own per version
            state = "is damaged" if path.exists() else "is missing"
            raise CheckpointError(f"{path} {state}; copy or save it again") from None


def _belonging(path: Path, base: str | None) -> Belonging:
    """Take a file as it is, or without the places of this machine."""
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
    """Empty every `…path`, `…file` and `…dir` setting that is a place of this machine."""
    if isinstance(value, dict):
        return {name: without_places(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_places(inner, key) for inner in value]
    is_place = isinstance(value, str) and key.endswith(("path", "file", "dir"))
    return "" if is_place and not is_hub_id(value) else value


def left_out(folder: Path, taken: list[Belonging]) -> Iterator[str]:
    """Name what is in the folder and stays there."""
    names = {belonging.name for belonging in taken}
    for path in sorted(folder.iterdir()):
        if path.name not in names and not path.name.startswith("."):
            yield f"{path.name}/" if path.is_dir() else path.name
