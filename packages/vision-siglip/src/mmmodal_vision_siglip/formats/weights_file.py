"""The tensors of one file by name, each read on request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import PartError
from mmmodal.authoring.pretrained import read_pickled

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PICKLED", "SAFE", "WeightsFile"]

SAFE = (".safetensors",)
PICKLED = (".bin", ".pt", ".pth")
"""Suffixes of pickled files, which open_clip wrote earlier and writes in training; no code in
them is executed."""


class WeightsFile:
    """A safetensors file, or a pickled one that holds nothing but tensors and plain values."""

    def __init__(self, path: Path) -> None:
        """Open the file; no tensor of a safetensors file is read yet.

        Raises:
            PartError: the file is damaged, or has another format.
        """
        self.path = path
        if path.suffix in SAFE:
            self._tensors = _open_safetensors(path)
        elif path.suffix in PICKLED:
            self._tensors = _open_pickled(path)
        else:
            known = ", ".join((*SAFE, *PICKLED))
            raise PartError(f"{path}: unknown suffix; weights can be read from {known} files")

    @property
    def names(self) -> frozenset[str]:
        """The names of all tensors."""
        return frozenset(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without reading it."""
        view = self._tensors[name]
        return tuple(view.get_shape() if hasattr(view, "get_shape") else view.shape)

    def rows(self, name: str, start: int | None = None, end: int | None = None) -> Tensor:
        """Return the rows of a tensor from `start` up to `end`."""
        tensor: Tensor = self._tensors[name][start:end]
        return tensor


def _open_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="pt")
        return {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError):
        raise PartError(f"{path} is damaged; download it again") from None


def _open_pickled(path: Path) -> Mapping[str, Any]:
    """Return a state dict, which may be inside a training checkpoint of open_clip."""
    import torch

    values = read_pickled(path)
    if isinstance(values, dict) and isinstance(values.get("state_dict"), dict):
        values = values["state_dict"]
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise PartError(f"{path}: it is not a mapping of names to tensors")
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
