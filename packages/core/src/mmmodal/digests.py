"""Digests that identify the weights of a checkpoint, and code that is being developed."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import CheckpointError, PartError
from mmmodal.pretrained import INDEX, SINGLE, find_file, read_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["code_digest", "source_digest", "tensors_digest", "weight_files", "weights_digest"]


def weights_digest(source: str) -> str:
    """Return the SHA-256 of all tensors of a checkpoint: their names, types, shapes and values.

    It does not depend on the distribution over files. Tensors are mapped to memory and hashed by
    several threads, so that even large models take seconds.

    Raises:
        CheckpointError: the checkpoint has no safetensors files, or one is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        opened: list[Any] = [safe_open(str(path), framework="pt") for path in weight_files(source)]
        files = {name: file for file in opened for name in file.keys()}  # noqa: SIM118
        return _digest(files, lambda name: files[name].get_tensor(name))
    except (SafetensorError, OSError, PartError) as error:
        raise CheckpointError(f"the weights of {source} cannot be read ({error})") from None


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors in memory; it equals that of a checkpoint of these tensors."""
    return _digest(tensors, lambda name: tensors[name].detach().cpu())


def _digest(names: Iterable[str], tensor_of: Callable[[str], Tensor]) -> str:
    whole = hashlib.sha256()
    with ThreadPoolExecutor() as threads:
        for line in threads.map(lambda name: _line(name, tensor_of(name)), sorted(names)):
            whole.update(line.encode())
    return whole.hexdigest()


def _line(name: str, tensor: Tensor) -> str:
    import torch

    values: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{name} {tensor.dtype} {list(tensor.shape)} {hashlib.sha256(values).hexdigest()}\n"


def code_digest(kinds: Iterable[type[Any]]) -> str:
    """Return the SHA-256 of the source of the packages that define classes and their bases.

    Only packages outside the folders for installed ones count, as those that are installed editable
    or are found by PYTHONPATH: the code of others is known by their version. Core has a version of
    its own in every key. It is empty if there is no such package.
    """
    modules = {base.__module__.partition(".")[0] for kind in kinds for base in kind.__mro__}
    return source_digest(modules - {"mmmodal"})


def source_digest(modules: Iterable[str]) -> str:
    """Return the SHA-256 of the source of imported packages that are being developed.

    It is empty if none of them is, as for `code_digest`.
    """
    lines = [
        f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for name in sorted(set(modules))
        for root, path in _developed(name)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def _developed(name: str) -> list[tuple[Path, Path]]:
    """Return the folder and the source files of a module or package that is not an installed one.

    The folder is the one that it is imported from.
    """
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return []
    path = Path(file).resolve()
    fixed = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "purelib", "platlib")}
    if path.suffix != ".py" or any(path.is_relative_to(folder) for folder in fixed):
        return []
    if path.name != "__init__.py":
        return [(path.parent, path)]
    return [(path.parent.parent, each) for each in sorted(path.parent.rglob("*.py"))]


def weight_files(source: str) -> list[Path]:
    """Return the files that hold a checkpoint's weights.

    Raises:
        PartError: there are none, or one of several is missing.
    """
    index = read_json(source, INDEX) if find_file(source, SINGLE) is None else None
    listed = index.get("weight_map") if index is not None else None
    names = (
        sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else [SINGLE]
    )
    paths = [find_file(source, name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        raise PartError(f"{source}: {missing[0]} is missing")
    return [path for path in paths if path is not None]
