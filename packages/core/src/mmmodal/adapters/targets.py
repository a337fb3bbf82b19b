"""Find the layers that get an adapter, within the parts of the model that a recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from mmmodal.config import suggest
from mmmodal.errors import ConfigError

if TYPE_CHECKING:
    from mmmodal.adapters.lora import Lora
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["adapted_layers", "target_layers"]

LINEAR = (nn.Linear, Conv1D)
NAMED = (*LINEAR, nn.Conv1d, nn.Conv2d)
"""The types of layers that can get an adapter."""


def target_layers(model: MMModalForConditionalGeneration, lora: Lora) -> list[str]:
    """Return the full names of the layers that `lora` targets in `model`.

    PEFT itself compares the end of a name only, and a tower has a `q_proj` too.

    Raises:
        ConfigError: a part or a layer is unknown.
    """
    parts = _modules_of_parts(model)
    found: list[str] = []
    for part, wanted in lora.targets.items():
        if part not in parts:
            raise _refused(f"{part!r} is not a part of this model{suggest(part, parts)}")
        layers = [name for module in parts[part] for name in _layers(model, module)]
        chosen = (
            [name for name in layers if isinstance(model.get_submodule(name), LINEAR)]
            if wanted == "all"
            else _named(part, layers, wanted)
        )
        if not chosen:
            raise _refused(f"{part!r} has no linear layer")
        found += chosen
    return sorted(set(found))


def _modules_of_parts(model: MMModalForConditionalGeneration) -> dict[str, list[str]]:
    """Return the names of the modules of each part; a modality's name means its tower.

    `towers.image` and `projectors.image` are those of one modality.
    """
    names = model.config.modality_names
    towers = {name: [f"model.{name}_tower"] for name in names}
    several = {
        "projectors": [f"model.{name}_projector" for name in names],
        "towers": [f"model.{name}_tower" for name in names],
    }
    single = {f"towers.{name}": modules for name, modules in towers.items()}
    single |= {f"projectors.{name}": [f"model.{name}_projector"] for name in names}
    of_media = {**several, **towers, **single} if names else {}
    return {"language_model": ["model.language_model"], **of_media}


def _layers(model: nn.Module, prefix: str) -> Iterator[str]:
    """Yield the full names of the layers below `prefix` that can get an adapter."""
    for name, module in model.get_submodule(prefix).named_modules():
        full = f"{prefix}.{name}".removesuffix(".")
        # torch's own attention reads the weight of its out_proj without calling the module.
        inside = model.get_submodule(full.rpartition(".")[0])
        if isinstance(module, NAMED) and not isinstance(inside, nn.MultiheadAttention):
            yield full


def _named(part: str, layers: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return those of `layers` whose name ends with a wanted name."""
    chosen = []
    for name in wanted:
        fitting = [layer for layer in layers if f".{layer}".endswith(f".{name}")]
        if not fitting:
            known = {layer.rpartition(".")[2] for layer in layers}
            raise _refused(f"{part!r} has no layer named {name!r}{suggest(name, known)}")
        chosen += fitting
    return chosen


def _refused(problem: str) -> ConfigError:
    return ConfigError("recipe", [f"'train.lora.targets': {problem}"])


def adapted_layers(model: Any) -> list[str]:
    """Return the names of the layers of a model that have an adapter."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return sorted(name for name, m in model.named_modules() if isinstance(m, BaseTunerLayer))
