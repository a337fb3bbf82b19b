"""The network: transformers' Whisper encoder without its unused layers.

N clips, W windows of all clips, P positions of a window, n positions of a clip, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperConfig, initialization
from transformers.models.whisper.modeling_whisper import WhisperEncoder, sinusoids

__all__ = ["WhisperTower"]


class WhisperTower(WhisperEncoder):  # type: ignore[no-untyped-call, unused-ignore]
    """A tower whose features are the output of its last layer, normalised or not."""

    def __init__(self, config: WhisperConfig, post_norm: bool = False) -> None:
        super().__init__(config)
        if not post_norm:
            self.add_module("layer_norm", nn.Identity())

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call, unused-ignore]
        # transformers does this for its own class only, not for subclasses (5.23).
        if module is self.embed_positions:
            initialization.copy_(module.weight, sinusoids(*module.weight.shape))

    def forward(self, values: Tensor, lengths: Tensor, **kwargs: Any) -> list[Tensor]:
        """Return the features, N of [n, D], of windows [W, mel bands, frames] of `lengths` [N]."""
        kwargs["return_dict"] = True
        hidden = super().forward(values, **kwargs).last_hidden_state  # [W, P, D]
        counts: list[int] = lengths.tolist()
        windows = [-(-count // hidden.shape[1]) for count in counts]
        clips = hidden.split(windows)  # N of [windows, P, D]
        return [_join(clip, count) for clip, count in zip(clips, counts, strict=True)]


def _join(windows: Tensor, count: int) -> Tensor:
    """Return a clip's windows [W, P, D] joined to [n, D]; an overlapping last one is cut."""
    if len(windows) == 1:
        return windows[0, :count]
    before = windows[:-1].flatten(0, 1)  # [(W - 1) * P, D]
    rest = count - len(before)
    return torch.cat([before, windows[-1, -rest:]])  # [n, D]
