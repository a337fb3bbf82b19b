"""Pretrained weights: what a source of any format can tell, and how transformers' is read.

A checkpoint of transformers is JSON files and safetensors, in a folder or on the Hub.
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
"""The files of a checkpoint that hold its weights, as patterns."""


class Checkpoint(ABC, Generic[ConfigT]):
    """A source whose format is known; what it holds is read when it is asked for.

    An encoder that reads several formats has one subclass for each.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        """As the user wrote it, for errors."""

    @abstractmethod
    def config(self) -> ConfigT:
        """Describe the tower with all its layers.

        Raises:
            PartError: `source` cannot be had, or is of another model.
        """

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """Return those of the encoder's options that say how the source was trained to perceive."""

    @abstractmethod
    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of those names of the tower and these shapes; no others are read.

        Raises:
            PartError: one is missing, damaged or of another shape.
        """

    @abstractmethod
    def download_size(self) -> list[tuple[str, int]] | None:
        """List what `tensors` would download as (file, bytes); None where that is not known."""


def find_file(source: str, name: str) -> Path | None:
    """Return where a file of the checkpoint is on this machine, or None if it has no such file.

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
            f"{source}: no such folder, and the Hub does not give it: {reason}"
        ) from None
    if not found and name == "config.json":  # which every model has: there is no such model
        raise PartError(f"{source}: no such folder, and no such model could be had from the Hub")
    return Path(found) if found else None


def read_json(source: str, name: str) -> dict[str, Any] | None:
    """Read a JSON object of the checkpoint; None if it has no such file.

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
        raise PartError(f"{source}: {name} holds no JSON object")
    return values


def read_processor(source: str, part: str) -> dict[str, Any]:
    """Read the settings of a feature extractor or image processor; {} if there are none.

    They are a file of their own, or `part` of what a processor saves for all its parts.

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
    """Build a config of transformers from what config.json says; `title` names the model.

    Raises:
        PartError: transformers refuses the values.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        return config(**values)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = one_line(error)
        raise PartError(f"{source}: config.json is no valid {title} config: {reason}") from None


def tensor_shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """List the tensors of the module that `build` makes by name, without memory for them."""
    import torch

    with torch.device("meta"):
        module = build()
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def layers_to_run(select_layer: int, depth: int, source: str) -> int:
    """Return how many of `depth` layers make `hidden_states[select_layer]`, which starts with 0."""
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
    """Yield the tensors of those names and shapes, which the checkpoint may hold under a prefix.

    Raises:
        PartError: files or tensors are missing, damaged or of other shapes.
    """
    files = files_of_tensors(source)
    prefix = max(prefixes, key=lambda prefix: sum(prefix + name in files for name in shapes))
    missing = sorted(name for name in shapes if prefix + name not in files)
    if missing:
        raise PartError(
            f"{source}: {prefix + missing[0]!r} is missing in its weights"
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
                        f"asks for {list(shapes[name])}"
                    )
                yield name, weights.get_tensor(stored)


def read_pickled(path: Path) -> Any:
    """Read tensors and plain values from a `.pt` file, the only form some weights are published in.

    Nothing in the file is run, and tensors are mapped to memory, not copied. This is the one place
    that reads pickles from others; formats that have safetensors are read from those.

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
            f"{path}: it is damaged, or holds more than tensors and plain values, and nothing else "
            "is unpickled; download it again"
        ) from None


def files_of_tensors(source: str) -> dict[str, str]:
    """Map each tensor's name to the file that holds it."""
    if find_file(source, SINGLE) is not None:
        with open_weights(source, SINGLE) as weights:
            return dict.fromkeys(weights.keys(), SINGLE)
    files = read_index(source, INDEX)
    if files is None:
        raise PartError(f"{source}: it has no {SINGLE} and no {INDEX}; no other format is read")
    return files


def read_index(source: str, name: str) -> dict[str, str] | None:
    """Read which file holds which tensor of a checkpoint in several; None if it has no index.

    Raises:
        PartError: the index is damaged, or names a file elsewhere.
    """
    index = read_json(source, name)
    if index is None:
        return None
    files = index.get("weight_map")
    if not isinstance(files, dict) or any(Path(str(f)).name != f for f in files.values()):
        raise PartError(f"{source}: {name} does not map names to files beside it")
    return files


def open_weights(source: str, file: str) -> Any:
    """Open a safetensors file of the checkpoint; nothing is read before it is asked for.

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
    """Find the file of a folder that cannot be read: JSON that does not parse, safetensors cut off.

    Of a checkpoint in several files it also finds one that is named but not there.
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
        except Exception:  # safetensors has an error class of its own
            return path
    return None
