"""The network of the `conv` projector. N items, n positions, m tokens, D width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmmodal.projectors.windows import windows

__all__ = ["ConvLayers"]


class ConvLayers(nn.Module):
    """Conv1d, GELU and Linear, each in one call for the whole batch."""

    def __init__(self, in_width: int, out_width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.linear_1 = nn.Conv1d(in_width, out_width, kernel, stride)
        self.linear_2 = nn.Linear(out_width, out_width)

    def forward(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        """Return [N, m_max, D_lm] for [N, n_max, D_enc], with zeros after each item."""
        if len(set(shapes)) == 1:
            return self._project(self._convolve(features))
        tokens = [self._tokens(n) for (n,) in shapes]
        projected = self._project(self._convolve_joined(features, shapes))  # [all m, D_lm]
        return nn.utils.rnn.pad_sequence(list(projected.split(tokens)), batch_first=True)

    def _convolve_joined(self, features: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        """Return [all m, D_lm]: concatenate the items and convolve them in one call.

        A short clip beside a long one then costs little more than alone. Each item begins at a
        window; windows across the end of an item are left out.
        """
        stride = self.linear_1.stride[0]
        row: list[Tensor] = []
        kept: list[slice] = []
        start = 0  # in strides
        for item, (n,) in zip(features, shapes, strict=True):
            strides = -(-max(n, self.linear_1.kernel_size[0]) // stride)
            gap = strides * stride - n
            row.append(nn.functional.pad(item[:n], (0, 0, 0, gap)))  # [n + gap, D_enc]
            kept.append(slice(start, start + self._tokens(n)))
            start += strides
        convolved = self._convolve(torch.cat(row)[None])[0]  # [strides or fewer, D_lm]
        return torch.cat([convolved[place] for place in kept])

    def _convolve(self, features: Tensor) -> Tensor:
        """Return [N, m, D_lm], the convolution of [N, n, D_enc]; n is at least the kernel."""
        short = max(0, self.linear_1.kernel_size[0] - features.shape[1])
        convolved: Tensor = self.linear_1(nn.functional.pad(features.transpose(1, 2), (0, short)))
        return convolved.transpose(1, 2)

    def _project(self, convolved: Tensor) -> Tensor:
        projected: Tensor = self.linear_2(nn.functional.gelu(convolved))
        return projected

    def _tokens(self, n: int) -> int:
        return windows(n, self.linear_1.kernel_size[0], self.linear_1.stride[0])
