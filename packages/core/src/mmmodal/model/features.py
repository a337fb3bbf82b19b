"""The features of media items: from what towers return to what the splice takes.

N items of a modality, M their feature vectors, D the language model's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mmmodal.contracts import Projector
from mmmodal.model.splice import Features

__all__ = ["MediaFeatures", "as_features", "project"]


@dataclass
class MediaFeatures(BaseModelOutputWithPooling):
    """The projected features of the items of one modality."""

    pooler_output: Tensor | None = None
    """[M, D], all items behind one another."""

    lengths: Sequence[int] | None = None
    """The number of vectors of each item."""


def project(
    projector: Projector, module: nn.Module, features: Sequence[Tensor]
) -> tuple[Tensor, list[int]]:
    """Project N items [*shape, D_enc] in one call: to [M, D], and the length of each item."""
    shapes = [tuple(item.shape[:-1]) for item in features]
    lengths = [projector.length(shape) for shape in shapes]
    flat = [item.flatten(0, -2) for item in features]  # N of [n, D_enc]
    if projector.pointwise:
        return module(torch.cat(flat)), lengths
    padded = nn.utils.rnn.pad_sequence(flat, batch_first=True)  # [N, n_max, D_enc]
    projected = module(padded, shapes)  # [N, m_max, D]
    kept = [item[:length] for item, length in zip(projected, lengths, strict=True)]
    return torch.cat(kept), lengths


def as_features(output: Any) -> Features:
    """Accept our output, a list of items, and what chunked prefill cuts out, [1, rows, D]."""
    values = output.pooler_output
    if not isinstance(values, Tensor):
        return Features(torch.cat(list(values)), [len(item) for item in values])
    return Features(values.flatten(0, -2), getattr(output, "lengths", None))
