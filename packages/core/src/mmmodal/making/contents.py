"""What the answers of a model folder depend on: its files, and the code that runs them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmmodal.adapters.folder import find_adapter
from mmmodal.digests import source_digest, weight_files
from mmmodal.errors import CheckpointError, PartError
from mmmodal.plugins import registry
from mmmodal.pretrained import find_file, read_json

__all__ = ["checkpoint_code", "checkpoint_files"]

PROCESSOR = "processor_config.json"
NEEDED = ("config.json", PROCESSOR, "tokenizer.json", "tokenizer_config.json")
NOT_READ = (".md", ".html")
"""Suffixes of files that a folder holds for people."""


def checkpoint_files(source: str | Path) -> dict[str, Path]:
    """Return the files that `mmmodal.load` reads of a model folder or an adapter, by their names.

    The names of an adapter's base model begin with `base/`. Nothing heavy is imported.

    Raises:
        CheckpointError: there is no such folder, or a file that it needs is missing.
    """
    if adapter := find_adapter(source):
        own = {path.name: path for path in _files_in(Path(str(source)))}
        return own | {f"base/{k}": path for k, path in checkpoint_files(adapter.place()).items()}
    try:
        # On the Hub, this downloads them.
        weights = weight_files(str(source))
        found = [find_file(str(source), name) for name in NEEDED]
    except PartError as error:
        raise CheckpointError(str(error)) from None
    for name, path in zip(NEEDED, found, strict=True):
        if path is None:
            raise CheckpointError(f"{source} has no {name}; give a folder of a composed model")
    return {path.name: path for path in [*_files_in(weights[0].parent), *weights]}


def _files_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        is_read = path.suffix not in NOT_READ and not path.name.startswith(".")
        if is_read and path.is_file():
            yield path


def checkpoint_code(source: str | Path) -> dict[str, str]:
    """Return the versions of the packages that run a model folder or an adapter, by their names.

    Where core or the package of a part is being developed, `source` is the digest of its source.

    Raises:
        CheckpointError: the folder does not say which parts it has.
    """
    if adapter := find_adapter(source):
        source = adapter.place()
    entries = (read_json(str(source), PROCESSOR) or {}).get("modalities")
    if not isinstance(entries, dict):
        raise CheckpointError(f"{source} has no {PROCESSOR} of a composed model")
    packages = {"mmmodal-core", "torch", "transformers", *_packages(entries)}
    found = {name: _version(name) for name in sorted(packages)}
    developed = source_digest({"mmmodal", *_modules(entries)})
    return found | ({"source": developed} if developed else {})


def _packages(entries: dict[str, Any]) -> Iterator[str]:
    for entry in entries.values():
        yield str(entry.get("package"))
        yield str(entry.get("projector", {}).get("package"))


def _modules(entries: dict[str, Any]) -> Iterator[str]:
    """Yield the import packages of the parts, and of the modalities, that are installed."""
    for name, entry in entries.items():
        named = {"modalities": name, "encoders": entry.get("encoder")}
        named["projectors"] = entry.get("projector", {}).get("projector")
        for kind, part in named.items():
            if (item := registry().get(kind, str(part))) is not None:
                yield from (base.__module__.partition(".")[0] for base in item.part.__mro__)


@functools.cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
