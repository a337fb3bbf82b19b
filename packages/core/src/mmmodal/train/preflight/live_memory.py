"""Measure the peak memory of tensors while code runs on fake tensors."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["LiveMemory", "quiet_failures"]

FAKE_TENSORS = logging.getLogger("torch._subclasses.fake_tensor")
"""Prints a traceback of every operation that fails on fake tensors, also if it was only tried."""


@contextlib.contextmanager
def quiet_failures() -> Iterator[None]:
    """Keep torch from printing what fails on fake tensors inside."""
    before, FAKE_TENSORS.disabled = FAKE_TENSORS.disabled, True
    try:
        yield
    finally:
        FAKE_TENSORS.disabled = before


class LiveMemory(TorchDispatchMode):
    """Track every tensor that is created inside, until it is released.

    With fake tensors it measures the memory of the same code on real tensors: those that autograd
    keeps, temporary ones, and gradients.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, and count the memory of its new results."""
        before = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if _has_bytes(leaf)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if _has_bytes(leaf) and _address(leaf) not in before:
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage, address = tensor.untyped_storage(), _address(tensor)
        if address in self._known:
            return
        size = int(storage.nbytes())
        self._known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, address, size).atexit = False

    def _forget(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def _has_bytes(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
