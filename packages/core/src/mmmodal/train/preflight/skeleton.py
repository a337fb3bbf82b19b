"""A model that has shapes and no bytes: its own code runs on it, and no weight is ever read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmmodal.model.configuration import MMModalConfig
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.loop.trainable import choose
from mmmodal.train.recipe.trained_parts import TrainedParts

__all__ = ["give_shapes", "skeleton", "trained_rows"]


def skeleton(folder: str | Path, train: TrainedParts) -> MMModalForConditionalGeneration:
    """Build the model of a folder on the meta device, with what trains chosen.

    The rows of markers are left to `trained_rows`: their overlay takes copies of weights.

    Raises:
        ConfigError: `lora` targets what this model does not have.
    """
    config = MMModalConfig.from_pretrained(str(folder))
    with torch.device("meta"):
        model = MMModalForConditionalGeneration(config)
        choose(model, train.parts - {"markers"}, train.lora)
    model.train()
    return model


def trained_rows(model: MMModalForConditionalGeneration, train: TrainedParts) -> int:
    """Return how many rows of the embedding matrix train by themselves, as markers do in align."""
    if "markers" not in train.parts or "language_model" in train.parts:
        return 0
    config = model.config
    return sum(len(config.learned_ids(name)) for name in config.modality_names)


def give_shapes(module: nn.Module, held: Callable[[nn.Parameter], torch.dtype]) -> None:
    """Put tensors of the current mode where a module on the meta device has none.

    Under `FakeTensorMode` they take no memory; what was one tensor, as a tied head, stays one.

    Args:
        module: on the meta device.
        held: in which precision a parameter is kept.
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
