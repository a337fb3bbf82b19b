"""The norm after a projector whose options have a `scale`. D width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Scaled"]

EPSILON = 1e-6


class Scaled(nn.Module):
    """A projector's layers, followed by a norm that sets the size of all vectors."""

    def __init__(self, layers: nn.Module, width: int, scale: float) -> None:
        super().__init__()
        self.layers = layers
        self.scale = scale
        self.gain = nn.Parameter(torch.ones(width))  # multiplied by `scale`, so that it starts at 1

    def forward(self, *given: Any) -> Tensor:
        """Return the layers' vectors [..., D], each scaled to the root mean square `scale`."""
        projected: Tensor = self.layers(*given)
        normed = nn.functional.rms_norm(projected.float(), projected.shape[-1:], eps=EPSILON)
        return self.gain * (self.scale * normed).to(projected.dtype)
