"""A learning rate for each part that trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from mmmodal.train.loop.trainable import part_of

__all__ = ["section_of_part", "set_rates"]


def set_rates(optimizer: Optimizer, model: nn.Module, rates: Mapping[str, float]) -> None:
    """Split the groups of an optimizer that has not stepped yet by part, each with its own rate.

    Schedules multiply the rate of each group, so they go on as they are, also under DeepSpeed.

    Args:
        optimizer: of which a part that `rates` does not name keeps the rate it has.
        model: whose parameters are in it.
        rates: of projectors, markers, language_model and towers.
    """
    section = {id(p): section_of_part(part_of(name)) for name, p in model.named_parameters()}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        parts: dict[str, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            parts.setdefault(section[id(parameter)], []).append(parameter)
        for part, parameters in parts.items():
            groups.append({**group, "params": parameters, "lr": rates.get(part, group["lr"])})
    optimizer.param_groups = groups


def section_of_part(part: str) -> str:
    """Return what a recipe calls a part of a model: `image_projector (LoRA)` is of `projectors`."""
    name = part.removesuffix(" (LoRA)")
    for ending, section in (("_projector", "projectors"), ("_tower", "towers")):
        if name.endswith(ending):
            return section
    return name
