"""A digest that identifies the weights of a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import CheckpointError, PartError
from mmmodal.pretrained import INDEX, SINGLE, find_file, read_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["tensors_digest", "weight_files", "weights_digest"]


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
