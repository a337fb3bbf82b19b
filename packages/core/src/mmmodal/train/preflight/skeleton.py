"""Build a model of fake tensors, without reading weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmmodal.model.configuration import MMModalConfig
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.loop.trainable import check_rates, choose
from mmmodal.train.recipe.trained_parts import TrainedParts

__all__ = ["give_shapes", "skeleton", "trained_rows"]


def skeleton(folder: str | Path, train: TrainedParts) -> MMModalForConditionalGeneration:
    """Return the model of a folder on the meta device, with its trainable parts selected.

    The rows of markers are counted by `trained_rows`, as their overlay copies weights.

    Raises:
        ConfigError: this model lacks a target of `lora`, or the modality of a part.
    """
    config = MMModalConfig.from_pretrained(str(folder))
    with torch.device("meta"):
        model = MMModalForConditionalGeneration(config)
        choose(model, train.parts - {"markers"}, train.lora)
    check_rates(model, train.learning_rates)
    model.train()
    return model


def trained_rows(model: MMModalForConditionalGeneration, train: TrainedParts) -> int:
    """Return the number of embedding rows that are trained alone, as markers are in align."""
    if "markers" not in train.parts or "language_model" in train.parts:
        return 0
    config = model.config
    return sum(len(config.learned_ids(name)) for name in config.modality_names)


def give_shapes(module: nn.Module, held: Callable[[nn.Parameter], torch.dtype]) -> None:
    """Replace the meta tensors of a module by tensors of the current mode.

    Under `FakeTensorMode` these take no memory. Shared tensors, as of a tied head, stay shared.

    Args:
        module: a module on the meta device.
        held: a function that returns the precision of a parameter.
    """
    made: dict[nn.Parameter, nn.Parameter] = {}
    for owner, name, parameter in _parameters(module):
        if parameter not in made:
            values = torch.empty(parameter.shape, dtype=held(parameter), device="cpu")
            made[parameter] = nn.Parameter(values, requires_grad=parameter.requires_grad)
        owner._parameters[name] = made[parameter]
    for owner in module.modules():
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                owner._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cpu")


def _parameters(module: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    for owner in module.modules():
        for name, parameter in list(owner._parameters.items()):
            if parameter is not None:
                yield owner, name, parameter
