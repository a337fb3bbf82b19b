"""Write a model's tensors as safetensors, shard after shard: one shard is in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from mmmodal.pretrained import INDEX, SINGLE

__all__ = ["write_shards"]


def write_shards(
    folder: Path,
    sizes: Mapping[str, int],
    read: Callable[[str], Tensor],
    limit: int,
) -> None:
    """Write tensors to a model folder.

    Args:
        folder: an existing folder.
        sizes: the names in the order in which they are best read, with their bytes.
        read: returns the tensor of a name; called once for each.
        limit: bytes of a shard; a larger tensor has one for itself.
    """
    shards = _shards(sizes, limit)
    files: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = SINGLE if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({n: read(n).contiguous() for n in names}, folder / file, {"format": "pt"})
        files |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": files}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(sizes: Mapping[str, int], limit: int) -> Sequence[Sequence[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards
