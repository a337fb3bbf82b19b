"""Build and load modules whole where DeepSpeed ZeRO-3 would partition their weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from transformers.integrations import deepspeed as integration

__all__ = ["gathered", "inference", "is_partitioned", "whole_weights"]


@contextlib.contextmanager
def whole_weights() -> Iterator[None]:
    """Disable ZeRO-3 for modules that are built inside this context.

    It is for modules that a single rank builds, which would wait for the other ranks, and for
    modules without weights. Without ZeRO-3 it has no effect.
    """
    if not integration.is_deepspeed_zero3_enabled():
        yield
        return
    from deepspeed.runtime.zero import partition_parameters

    config = integration._hf_deepspeed_config_weak_ref()  # type: ignore[misc]
    partition_parameters.shutdown_init_context()
    integration.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        integration.set_hf_deepspeed_config(config)
        partition_parameters.restore_init_context()


def is_partitioned(model: nn.Module) -> bool:
    """Return whether ZeRO-3 has partitioned the weights of a model over the ranks."""
    return any(hasattr(parameter, "ds_id") for parameter in model.parameters())


def inference(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Return a context without gradients.

    Weights that ZeRO-3 gathers in torch's inference mode could not be trained afterwards.
    """
    return torch.no_grad() if is_partitioned(model) else torch.inference_mode()


@contextlib.contextmanager
def gathered(*parameters: nn.Parameter) -> Iterator[None]:
    """Gather parameters that ZeRO-3 may have partitioned over the ranks, to read them."""
    spread = [parameter for parameter in parameters if hasattr(parameter, "ds_id")]
    if not spread:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(spread):
        yield
