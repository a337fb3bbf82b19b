"""The network: plain torch, with a buffer that is not saved."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tower(nn.Module):
    """Combine each patch with its sines, so that small values have an effect too."""

    frequency: Tensor

    def __init__(self, values: int, width: int, top: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * values, width), nn.GELU(), nn.LayerNorm(width))
        self.register_buffer("frequency", torch.linspace(1.0, top, values), persistent=False)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Return the features of [N, tokens, values]; `mask` is false at padding."""
        features = self.layers(torch.cat([values, (values * self.frequency).sin()], -1))
        lengths = [values.shape[1]] * len(values) if mask is None else mask.sum(-1).tolist()
        return [item[:length] for item, length in zip(features, lengths, strict=True)]
