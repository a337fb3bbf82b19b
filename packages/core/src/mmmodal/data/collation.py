"""Prepared conversations joined into one batch of tensors.

B batch, T tokens, N items of a modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mmmodal.conversation.rendering import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.contracts import Encoder, Modality

__all__ = ["Sample", "collate", "input_names"]


@dataclass(frozen=True)
class Sample:
    """One conversation, rendered, with the features of its media in the order of their slots."""

    input_ids: list[int]
    labels: list[int]
    features: dict[str, list[Any]] = field(default_factory=dict)
    where: str = ""
    """The row it came from, for errors."""


def collate(
    samples: Sequence[Sample],
    encoders: Mapping[str, Encoder],
    modalities: Mapping[str, Modality],
    *,
    pad_token_id: int,
    padding_side: Literal["left", "right"] = "right",
) -> dict[str, Tensor]:
    """Pad samples to one length and join the media of the whole batch, modality by modality.

    `input_ids`, `attention_mask` and `labels` are [B, T]; media tensors hold all N items of the
    batch behind one another, under the names of `input_names`. A modality without any item in the
    batch has no tensors.
    """
    import torch

    length = max(len(sample.input_ids) for sample in samples)

    def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
        gaps = [[filler] * (length - len(row)) for row in rows]
        if padding_side == "left":
            return torch.tensor([[*gap, *row] for gap, row in zip(gaps, rows, strict=True)])
        return torch.tensor([[*row, *gap] for gap, row in zip(gaps, rows, strict=True)])

    batch = {
        "input_ids": padded([sample.input_ids for sample in samples], pad_token_id),
        "attention_mask": padded([[1] * len(sample.input_ids) for sample in samples], 0),
        "labels": padded([sample.labels for sample in samples], IGNORE),
    }
    for name, encoder in encoders.items():
        items = [item for sample in samples for item in sample.features.get(name, [])]
        if items:
            batch |= input_names(modalities[name].input_name, encoder.collate(items))
    return batch


def input_names(stem: str, collated: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give an encoder's tensors the model's names: `values` is `stem`, `mask` is `stem_mask`."""
    return {stem if key == "values" else f"{stem}_{key}": value for key, value in collated.items()}
