"""Read a checkpoint's tensors from safetensors or old `.bin` files, one file at a time."""

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
    """The names, shapes and tensors of a checkpoint; a tensor is read on request.

    Args:
        source: a folder or Hub id.

    Raises:
        PartError: there are no weights, or a file is missing or damaged.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._opened: tuple[str, Any] = ("", None)
        self.files = self._find()
        """The file of each tensor."""

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor."""
        tensor = self._lookup(name, shape_only=True)
        return list(tensor.get_shape() if hasattr(tensor, "get_shape") else tensor.shape)

    def get(self, name: str) -> Tensor:
        """Return a tensor; its file stays open until a tensor of another file is read."""
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
            reason = f"{file} has no readable {name!r}, which the index names"
            raise PartError(f"{self.source}: {reason}; download it again") from None

    def _open(self, file: str) -> Any:
        if self._opened[0] != file:
            # Release the previous file first: a `.bin` file is a whole shard in memory.
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
            raise PartError(f"{self.source}: it has no weights; searched for {looked}")
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
            raise PartError(f"{path}: it is not a mapping of names to tensors")
        return values
