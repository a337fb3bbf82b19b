"""The norm behind a projector whose options have a `scale`. D width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Scaled"]

EPSILON = 1e-6


class Scaled(nn.Module):
    """A projector's layers, and vectors of one size behind them."""

    def __init__(self, layers: nn.Module, width: int, scale: float) -> None:
        super().__init__()
        self.layers = layers
        self.scale = scale
        self.gain = nn.Parameter(torch.ones(width))  # times `scale`: 1 whatever the words' size is

    def forward(self, *given: Any) -> Tensor:
        """Run the layers and bring each vector [..., D] to the root mean square `scale`."""
        projected: Tensor = self.layers(*given)
        normed = nn.functional.rms_norm(projected.float(), projected.shape[-1:], eps=EPSILON)
        return self.gain * (self.scale * normed).to(projected.dtype)
