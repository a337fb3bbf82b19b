"""Build and load modules whole where DeepSpeed ZeRO-3 would spread their weights over the ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from transformers.integrations import deepspeed as integration

__all__ = ["gathered", "whole_weights"]


@contextlib.contextmanager
def whole_weights() -> Iterator[None]:
    """Keep ZeRO-3 out of what is built inside.

    For what one rank builds by itself, where the others would be waited for, and for what holds no
    weights at all. Without ZeRO-3 nothing changes.
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


@contextlib.contextmanager
def gathered(*parameters: nn.Parameter) -> Iterator[None]:
    """Have the whole of parameters that ZeRO-3 may have spread over the ranks, to read them."""
    spread = [parameter for parameter in parameters if hasattr(parameter, "ds_id")]
    if not spread:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(spread):
        yield
