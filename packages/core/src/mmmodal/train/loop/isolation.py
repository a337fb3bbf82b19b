"""Run a model between two steps of its training, and leave no trace."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, is_tensor, nn
from transformers import set_seed

__all__ = ["isolated"]

RESTORED = (bool, int, float, str, type(None), Tensor)
"""The types of attributes that are restored: modes, flags, noted lengths, cached tensors."""


@contextlib.contextmanager
def isolated(model: nn.Module, seed: int) -> Iterator[None]:
    """Put a model into evaluation mode, and restore its state and all random numbers afterwards.

    Inside, random numbers begin at `seed`, so that they do not depend on the step.

    Restored are modes, buffers, and attributes of modules that are tensors or plain values, as
    `dynamic` position embeddings note the length of the longest input they have seen.
    """
    states = [_State(module) for module in model.modules()]
    try:
        with _random_numbers_kept():
            set_seed(seed)
            model.eval()
            yield
    finally:
        for state in states:
            state.restore()


class _State:
    """What running a module may change, except parameters."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._plain = {k: v for k, v in vars(module).items() if isinstance(v, RESTORED)}
        self._buffers: dict[str, tuple[Tensor, Tensor]] = {
            name: (buffer, buffer.clone())
            for name, buffer in module._buffers.items()
            if buffer is not None
        }

    @torch.no_grad()
    def restore(self) -> None:
        own = vars(self._module)
        for name in [name for name in own.keys() - self._plain.keys() if is_tensor(own[name])]:
            del own[name]  # what is cached in inference mode cannot be trained with
        own.update(self._plain)
        for name, (buffer, values) in self._buffers.items():
            buffer.copy_(values)
            self._module._buffers[name] = buffer


@contextlib.contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Restore the random numbers of Python, NumPy and torch, on the CPU and this rank's GPU."""
    devices: list[Any] = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
