"""The network of the `perceiver` projector.

N items, n positions, Q queries, H heads, W width of a head, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PerceiverLayers"]

EPSILON = 1e-6  # of all norms
SPREAD = 0.02  # initial standard deviation of the queries
WIDER = 4  # the width of a feed-forward layer, relative to the features'


class PerceiverLayers(nn.Module):
    """Layers in which queries attend to the features, then one linear layer."""

    def __init__(
        self, in_width: int, out_width: int, queries: int, layers: int, heads: int, head_width: int
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(SPREAD * torch.randn(queries, in_width))
        self.layers = nn.ModuleList(_Layer(in_width, heads, head_width) for _ in range(layers))
        self.norm = nn.RMSNorm(in_width, EPSILON)
        self.linear = nn.Linear(in_width, out_width)

    def forward(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        """Return [N, Q, D_lm] for [N, n_max, D_enc]; values after each item are ignored."""
        seen = self._seen(features, shapes)
        x = self.queries.expand(len(features), -1, -1)  # [N, Q, D_enc]
        for layer in self.layers:
            x = layer(x, features, seen)
        projected: Tensor = self.linear(self.norm(x))
        return projected

    def _seen(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor | None:
        """Return the attention mask of the queries, [N, 1, 1, n_max + Q]; None: no mask."""
        lengths = [math.prod(shape) for shape in shapes]
        if min(lengths) == features.shape[1]:
            return None
        places = torch.arange(features.shape[1], device=features.device)
        real = places < torch.tensor(lengths, device=features.device)[:, None]  # [N, n_max]
        themselves = real.new_ones(len(real), len(self.queries))
        return torch.cat([real, themselves], 1)[:, None, None]


class _Layer(nn.Module):
    """Attention of the queries, then a gated feed-forward, both with residual connections."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.query_norm, self.feature_norm, self.feed_forward_norm = (
            nn.RMSNorm(width, EPSILON) for _ in range(3)
        )
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.output = nn.Linear(inner, width, bias=False)
        self.gate, self.up = (nn.Linear(width, WIDER * width, bias=False) for _ in range(2))
        self.down = nn.Linear(WIDER * width, width, bias=False)

    def forward(self, x: Tensor, features: Tensor, seen: Tensor | None) -> Tensor:
        """Return queries [N, Q, D] after attention to features [N, n_max, D] and to each other."""
        x = x + self._attend(self.query_norm(x), self.feature_norm(features), seen)
        y = self.feed_forward_norm(x)
        fed: Tensor = x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))
        return fed

    def _attend(self, x: Tensor, features: Tensor, seen: Tensor | None) -> Tensor:
        context = torch.cat([features, x], 1)  # [N, n_max + Q, D]
        query, key, value = (
            linear(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [N, H, …, W]
            for linear, given in ((self.query, x), (self.key, context), (self.value, context))
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        read: Tensor = self.output(attended.transpose(1, 2).flatten(2))  # [N, Q, D]
        return read
