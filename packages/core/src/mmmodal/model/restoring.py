"""Complete the loading of a model: check its weights, and rebuild buffers that are not saved."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.initialization import no_init_weights

from mmmodal.contracts.building import build_projection, build_tower
from mmmodal.errors import CheckpointError
from mmmodal.model.zero3 import whole_weights

__all__ = ["finish_loading", "missing_weights"]


def missing_weights(report: Any) -> list[str]:
    """Return the names of missing weights in transformers' loading report."""
    return sorted(report["missing_keys"] if isinstance(report, dict) else report.missing_keys)


def finish_loading(model: Any, report: Any, *, strict: bool = True) -> None:
    """Check that no weight is missing, and rebuild buffers that are not saved.

    transformers fills such buffers of unknown modules with garbage (measured, 5.23); the
    constructors compute their values.

    Raises:
        CheckpointError: weights are missing, and `strict`.
    """
    missing = missing_weights(report)
    if missing and strict:
        raise CheckpointError(
            f"{model.config._name_or_path}: the weights of {missing[0]!r} and "
            f"{len(missing) - 1} others are missing"
            if len(missing) > 1
            else f"{model.config._name_or_path}: the weights of {missing[0]!r} are missing"
        )
    base = getattr(model, "model", model)
    language: Any = base.language_model
    _restore_buffers(language, functools.partial(_only_buffers, language))
    for name in model.config.modality_names:
        encoder, projector = base.encoders[name], base.projectors[name]
        _restore_buffers(base.tower(name), functools.partial(build_tower, encoder))
        projection = functools.partial(build_projection, projector, encoder.width, base.width)
        _restore_buffers(base.projector(name), projection)


def _restore_buffers(module: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Copy the buffers that are not saved from a newly built copy of `module`."""
    saved = module.state_dict().keys()
    unsaved = [name for name, _ in module.named_buffers() if name not in saved]
    if not unsaved:
        return
    known = isinstance(module, PreTrainedModel)  # its copy needs no initial weights
    with whole_weights(), no_init_weights() if known else contextlib.nullcontext():
        twin = dict(build().named_buffers())
    for name in unsaved:
        buffer = module.get_buffer(name)
        buffer.copy_(twin[name].to(buffer.device, buffer.dtype))


def _only_buffers(language: PreTrainedModel) -> nn.Module:
    """Return a copy of a language model with its initial buffers, whose weights are on no device.

    In a model of a class that is not its own, transformers does not initialise modules without
    weights, which may set the buffers of others: all layers of Falcon-H1 (measured, 5.23).
    """
    with torch.device("meta"):
        twin = type(language)(language.config)
    for module in twin.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty_like(buffer, device="cpu"))
    twin.initialize_weights()
    return twin
