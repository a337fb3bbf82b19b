"""The network of the `conv` projector. N items, n positions, m tokens, D width."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["ConvLayers"]


class ConvLayers(nn.Module):
    """Conv1d, GELU, Linear over a padded batch, in one call each whatever the batch holds."""

    def __init__(self, in_width: int, out_width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.linear_1 = nn.Conv1d(in_width, out_width, kernel, stride)
        self.linear_2 = nn.Linear(out_width, out_width)

    def forward(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        """Project [N, n_max, D_enc], zeros behind each item, to [N, m_max, D_lm].

        `shapes` is not needed: without padding of its own, the convolution of an item's first
        `length(shape)` outputs never reaches behind it, or only the zeros that fill its kernel.
        """
        x = features.transpose(1, 2)  # [N, D_enc, n_max]
        short = self.linear_1.kernel_size[0] - x.shape[-1]
        if short > 0:
            x = nn.functional.pad(x, (0, short))
        x = nn.functional.gelu(self.linear_1(x))  # [N, D_lm, m_max]
        projected: Tensor = self.linear_2(x.transpose(1, 2))
        return projected
