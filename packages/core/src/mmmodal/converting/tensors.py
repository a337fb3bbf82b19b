"""Convert a checkpoint's tensors to the model's: names, shapes, precision, rows of new tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmmodal.contracts.converter import Conversion
from mmmodal.converting.names import match_names
from mmmodal.converting.skeleton import add_tokens
from mmmodal.converting.weights import Weights
from mmmodal.errors import PartError
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.new_tokens import PAD_TO, set_to_mean
from mmmodal.pretrained import INDEX, SINGLE

__all__ = ["TensorPlan"]

TABLES = ("embed_tokens.weight", "lm_head.weight", "lm_head.bias")


class TensorPlan:
    """A plan for each tensor, which is checked before a tensor is written.

    Args:
        weights: the checkpoint's tensors.
        conversion: the description of the checkpoint; missing slots are added to its tokenizer.
        dtype: the precision to write, or "auto" for that of the embedding matrix.

    Raises:
        PartError: the vocabulary does not match the tokenizer, or layers are missing.
    """

    def __init__(self, weights: Weights, conversion: Conversion, dtype: Any = "auto") -> None:
        self.weights = weights
        self.conversion = conversion
        self._check_depths()
        self._table = self._find_table()
        known = len(conversion.tokenizer)
        self._check_vocabulary(known)
        add_tokens(conversion, weights.source)
        stored = weights.shape(self._table)[0]
        needed = len(conversion.tokenizer)
        self._new = sorted({*range(known, needed), *range(stored, _padded(needed, stored))})
        self._known = min(known, stored)
        self.rows = _padded(needed, stored)
        """The number of rows of the model's embedding matrix."""

        self.dtype: torch.dtype = self._dtype(dtype)
        self._names: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def match(self, model: MMModalForConditionalGeneration) -> None:
        """Find the checkpoint's tensor for each tensor of the model, and check the shapes.

        Raises:
            PartError: a part or tensor is missing, left over, or has another shape.
        """
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        tied = bool(model.config.text_config.tie_word_embeddings)
        if tied:
            shapes = {n: shape for n, shape in shapes.items() if not n.startswith("lm_head.")}
            self._check_tie()
        found = match_names(shapes, self.conversion, self.weights, tied)
        for name, stored in found.items():
            self._check_shape(name, stored, shapes[name])
        # Tensors are read in the order of the files, so that each file is opened once.
        in_order = sorted(found, key=lambda name: self.weights.files[found[name]])
        self._names = {name: found[name] for name in in_order}
        width = torch.empty((), dtype=self.dtype).element_size()
        self._sizes = {name: width * torch.Size(shapes[name]).numel() for name in in_order}

    def write(self, folder: Path, shard_bytes: int) -> int:
        """Write the model's tensors to a folder; return their size in bytes."""
        _write_shards(folder, self._sizes, self._read, shard_bytes)
        return sum(self._sizes.values())

    def _read(self, name: str) -> Tensor:
        tensor = self.weights.get(self._names[name])
        tensor = tensor.to(self.dtype)
        return self._grown(tensor) if name.endswith(TABLES) else tensor

    def _grown(self, table: Tensor) -> Tensor:
        """Return a matrix with a row for each new token: the mean of the other rows."""
        whole = table.new_zeros((self.rows, *table.shape[1:]))  # [rows, D]
        whole[: len(table)] = table
        set_to_mean(whole, self._new, self._known)
        return whole

    def _check_depths(self) -> None:
        """Raise a PartError if a config has more layers than there are tensors."""
        towers = [m.addition.encoder.tower_config for m in self.conversion.modalities]
        for config in (self.conversion.text_config, *towers):
            layers = getattr(config, "num_hidden_layers", 0)
            if layers > len(self.weights.files):
                raise PartError(
                    f"{self.weights.source}: config.json sets {layers} layers of a "
                    f"{getattr(config, 'model_type', 'model')!r}, but there are only "
                    f"{len(self.weights.files)} tensors in total"
                )

    def _find_table(self) -> str:
        names = [f"{prefix}embed_tokens.weight" for prefix in self.conversion.language_model]
        found = [name for name in names if name in self.weights.files]
        if not found:
            looked = " or ".join(map(repr, names))
            raise PartError(
                f"{self.weights.source}: the language model is missing: it has no {looked}"
            )
        return found[0]

    def _check_vocabulary(self, known: int) -> None:
        stored = self.weights.shape(self._table)[0]
        source, config = self.weights.source, self.conversion.text_config
        if known > stored:
            raise PartError(
                f"{source}: the tokenizer has {known} tokens, but {self._table!r} only {stored} "
                "rows; they belong to different models"
            )
        if config.vocab_size != stored:
            raise PartError(
                f"{source}: config.json sets a vocabulary of {config.vocab_size} tokens, "
                f"but {self._table!r} has {stored} rows"
            )

    def _dtype(self, asked: Any) -> torch.dtype:
        if asked == "auto":
            return self.weights.get(self._table).dtype
        dtype: torch.dtype = getattr(torch, asked) if isinstance(asked, str) else asked
        return dtype

    def _check_tie(self) -> None:
        """Raise a PartError if the config ties the head, but the embedding matrix differs."""
        names = [f"{prefix}weight" for prefix in self.conversion.head]
        for name in names:
            if name in self.weights.files and not torch.equal(
                self.weights.get(name), self.weights.get(self._table)
            ):
                raise PartError(
                    f"{self.weights.source}: config.json ties the head to the embeddings, but "
                    f"{name!r} and {self._table!r} differ; set tie_word_embeddings to false there"
                )

    def _check_shape(self, name: str, stored: str, wanted: tuple[int, ...]) -> None:
        shape = self.weights.shape(stored)
        expected = list(wanted)
        if name.endswith(TABLES) and len(shape) == len(expected):
            expected[0] = self.weights.shape(self._table)[0]
        if shape != expected:
            raise PartError(
                f"{self.weights.source}: {stored!r} has shape {shape}, but config.json requires "
                f"{expected}"
            )


def _padded(needed: int, stored: int) -> int:
    """Return the number of rows for `needed` tokens, at least the `stored` ones."""
    return stored if needed <= stored else -(-needed // PAD_TO) * PAD_TO


def _write_shards(
    folder: Path,
    sizes: Mapping[str, int],
    read: Callable[[str], Tensor],
    limit: int,
) -> None:
    """Write tensors to a model folder.

    Args:
        folder: an existing folder.
        sizes: the bytes of each tensor by name, in the order of reading.
        read: a function that returns the tensor of a name; it is called once for each.
        limit: the maximum bytes of a shard; a larger tensor has its own.
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
