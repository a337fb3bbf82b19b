"""Pretrained weights: the interface to a source of any format, and readers for transformers'.

A checkpoint of transformers consists of JSON and safetensors files, in a folder or on the Hub.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mmmodal.errors import PartError, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig

__all__ = [
    "WEIGHT_FILES",
    "Checkpoint",
    "damaged_file",
    "files_of_tensors",
    "find_file",
    "layers_to_run",
    "make_config",
    "open_weights",
    "read_index",
    "read_json",
    "read_pickled",
    "read_processor",
    "read_tensors",
    "tensor_shapes",
]

ConfigT = TypeVar("ConfigT", bound="PreTrainedConfig")

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
WEIGHT_FILES = (SINGLE, INDEX, "model-*-of-*.safetensors")
"""Patterns of the files that hold a checkpoint's weights."""


class Checkpoint(ABC, Generic[ConfigT]):
    """A source of a known format; its files are read when a method needs them.

    An encoder that reads several formats has one subclass for each.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        """The source as the user wrote it, for errors."""

    @abstractmethod
    def config(self) -> ConfigT:
        """Return the config of the tower with all its layers.

        Raises:
            PartError: `source` is not available, or holds another model.
        """

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """Return the encoder's options for the preprocessing that the source was trained with."""

    @abstractmethod
    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of the tower that `shapes` names; no other tensor is read.

        Raises:
            PartError: one is missing, damaged or has another shape.
        """

    @abstractmethod
    def download_size(self) -> list[tuple[str, int]] | None:
        """Return the files that `tensors` would download as (file, bytes); None if unknown."""


def find_file(source: str, name: str) -> Path | None:
    """Return the local path of a file of the checkpoint, or None if there is no such file.

    Raises:
        PartError: `source` is neither a folder nor reachable on the Hub.
    """
    if Path(source).is_dir():
        path = Path(source, name)
        return path if path.is_file() else None
    if Path(source).exists() or source.count("/") > 1 or source.startswith((".", "/", "~")):
        raise PartError(f"{source}: no such folder")
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise PartError(
            f"{source}: no such folder, and it cannot be downloaded from the Hub: {reason}"
        ) from None
    if not found and name == "config.json":  # every model has one: there is no such model
        raise PartError(f"{source}: no such folder, and no such model was found on the Hub")
    return Path(found) if found else None


def read_json(source: str, name: str) -> dict[str, Any] | None:
    """Return the JSON object of a file of the checkpoint; None if there is no such file.

    Raises:
        PartError: the file is damaged.
    """
    path = find_file(source, name)
    if path is None:
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise PartError(f"{source}: {name} is not valid JSON") from None
    if not isinstance(values, dict):
        raise PartError(f"{source}: {name} does not hold a JSON object")
    return values


def read_processor(source: str, part: str) -> dict[str, Any]:
    """Return the settings of a feature extractor or image processor; {} if there are none.

    They have their own file, or are the section `part` of a processor's file.

    Raises:
        PartError: the file is damaged.
    """
    values = read_json(source, "preprocessor_config.json")
    if values is None:
        both = read_json(source, "processor_config.json") or {}
        values = both.get(part, {})
    return values


def make_config(
    config: type[ConfigT], values: Mapping[str, Any], title: str, source: str
) -> ConfigT:
    """Return a config of transformers with the values of config.json; `title` names the model.

    Raises:
        PartError: transformers refuses the values.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        return config(**values)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = one_line(error)
        raise PartError(
            f"{source}: config.json is not a valid config of {title}: {reason}"
        ) from None


def tensor_shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a module by name; the module is built without memory."""
    import torch

    with torch.device("meta"):
        module = build()
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def layers_to_run(select_layer: int, depth: int, source: str) -> int:
    """Return the number of layers that compute `hidden_states[select_layer]` of `depth` layers."""
    count = select_layer if select_layer >= 0 else depth + 1 + select_layer
    if not 1 <= count <= depth:
        raise PartError(
            f"select_layer {select_layer} does not fit the {depth} layers of {source}: "
            f"choose -1 (the last) to -{depth} (the first)"
        )
    return count


def read_tensors(
    source: str, shapes: Mapping[str, Sequence[int]], prefixes: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that `shapes` names; the checkpoint may store the names with a prefix.

    Raises:
        PartError: a file or tensor is missing, damaged or has another shape.
    """
    files = files_of_tensors(source)
    prefix = max(prefixes, key=lambda prefix: sum(prefix + name in files for name in shapes))
    missing = sorted(name for name in shapes if prefix + name not in files)
    if missing:
        raise PartError(
            f"{source}: {prefix + missing[0]!r} is missing from its weights"
            + (f", and {len(missing) - 1} others" if len(missing) > 1 else "")
        )
    for file in sorted({files[prefix + name] for name in shapes}):
        wanted = {name: prefix + name for name in shapes if files[prefix + name] == file}
        with open_weights(source, file) as weights:
            for name, stored in wanted.items():
                found = weights.get_slice(stored).get_shape()
                if list(found) != list(shapes[name]):
                    raise PartError(
                        f"{source}: {stored!r} has shape {list(found)}, but config.json "
                        f"requires {list(shapes[name])}"
                    )
                yield name, weights.get_tensor(stored)


def read_pickled(path: Path) -> Any:
    """Return the tensors and values of a `.pt` file, the only format of some published weights.

    No code of the file is executed, and tensors are mapped to memory, not copied. No other function
    reads pickles of other projects; weights that exist as safetensors are read from those.

    Raises:
        PartError: the file is damaged, or holds anything but tensors and plain values.
    """
    import pickle
    import zipfile

    import torch

    try:
        mapped = zipfile.is_zipfile(path)
        return torch.load(  # noqa: TID251
            path, map_location="cpu", weights_only=True, mmap=mapped or None
        )
    except (pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError):
        raise PartError(
            f"{path}: it is damaged, or holds more than tensors and plain values, "
            "which is refused; download it again"
        ) from None


def files_of_tensors(source: str) -> dict[str, str]:
    """Return the file of each tensor by the tensor's name."""
    if find_file(source, SINGLE) is not None:
        with open_weights(source, SINGLE) as weights:
            return dict.fromkeys(weights.keys(), SINGLE)
    files = read_index(source, INDEX)
    if files is None:
        raise PartError(
            f"{source}: it has neither {SINGLE} nor {INDEX}; other formats are not supported"
        )
    return files


def read_index(source: str, name: str) -> dict[str, str] | None:
    """Return the file of each tensor of a checkpoint of several files; None if there is no index.

    Raises:
        PartError: the index is damaged, or names a file outside of the checkpoint.
    """
    index = read_json(source, name)
    if index is None:
        return None
    files = index.get("weight_map")
    if not isinstance(files, dict) or any(Path(str(f)).name != f for f in files.values()):
        raise PartError(f"{source}: {name} does not map names to files beside it")
    return files


def open_weights(source: str, file: str) -> Any:
    """Open a safetensors file of the checkpoint; tensors are read on request.

    Raises:
        PartError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = find_file(source, file)
    if path is None:
        raise PartError(f"{source}: {file}, which {INDEX} names, is missing")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError):
        raise PartError(f"{source}: {file} is damaged; download it again") from None


def damaged_file(folder: Path) -> Path | None:
    """Return the first damaged file of a folder: invalid JSON, or truncated safetensors.

    A file that the index of a checkpoint names but that does not exist counts as damaged.
    """
    from safetensors import safe_open

    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors")):
        try:
            if path.suffix == ".json":
                values = json.loads(path.read_text(encoding="utf-8"))
                named = values["weight_map"].values() if path.name == INDEX else ()
                missing: list[str] = [name for name in named if not (folder / name).is_file()]
                if missing:
                    return folder / missing[0]
            else:
                with safe_open(str(path), framework="pt"):
                    pass
        except Exception:  # safetensors has its own error class
            return path
    return None
