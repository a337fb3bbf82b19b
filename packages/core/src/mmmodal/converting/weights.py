"""The tensors of a checkpoint in safetensors or, of old ones, `.bin` files; one file is open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal import pretrained
from mmmodal.errors import PartError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Weights"]

PICKLED = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"


class Weights:
    """Names, shapes and tensors; a tensor is read when it is asked for.

    Args:
        source: a folder or Hub id.

    Raises:
        PartError: there are no weights, or a file is missing or damaged.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._opened: tuple[str, Any] = ("", None)
        self.files = self._find()
        """Which file holds each tensor."""

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor."""
        tensor = self._lookup(name, shape_only=True)
        return list(tensor.get_shape() if hasattr(tensor, "get_shape") else tensor.shape)

    def get(self, name: str) -> Tensor:
        """Read a tensor; the file it is in stays open until one of another file is read."""
        tensor: Tensor = self._lookup(name)
        return tensor

    def _lookup(self, name: str, shape_only: bool = False) -> Any:
        from safetensors import SafetensorError

        file = self.files[name]
        opened = self._open(file)
        try:
            if isinstance(opened, Mapping):
                return opened[name]
            return opened.get_slice(name) if shape_only else opened.get_tensor(name)
        except (KeyError, SafetensorError):
            reason = f"{file} has no readable {name!r}, which the index says it has"
            raise PartError(f"{self.source}: {reason}; download it again") from None

    def _open(self, file: str) -> Any:
        if self._opened[0] != file:
            # The one before is let go first: two `.bin` files are two shards in memory.
            self._opened = ("", None)
            pickled = file.endswith(".bin")
            opened = self._unpickle(file) if pickled else pretrained.open_weights(self.source, file)
            self._opened = (file, opened)
        return self._opened[1]

    def _find(self) -> dict[str, str]:
        found = [
            name
            for name in (pretrained.SINGLE, pretrained.INDEX, PICKLED, PICKLED_INDEX)
            if pretrained.find_file(self.source, name) is not None
        ]
        if not found:
            looked = f"{pretrained.SINGLE}, {pretrained.INDEX}, {PICKLED} and {PICKLED_INDEX}"
            raise PartError(f"{self.source}: it has no weights; looked for {looked}")
        if found[0] == PICKLED:
            return dict.fromkeys(self._open(PICKLED), PICKLED)
        if found[0] == PICKLED_INDEX:
            return pretrained.read_index(self.source, PICKLED_INDEX) or {}
        return pretrained.files_of_tensors(self.source)

    def _unpickle(self, file: str) -> dict[str, Tensor]:
        import torch

        path = pretrained.find_file(self.source, file)
        if path is None:
            raise PartError(f"{self.source}: {file}, which {PICKLED_INDEX} names, is missing")
        values = pretrained.read_pickled(Path(path))
        if not isinstance(values, dict) or not all(map(torch.is_tensor, values.values())):
            raise PartError(f"{path}: it holds no tensors by name")
        return values
