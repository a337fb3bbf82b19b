"""Collate prepared conversations to one batch of tensors: padded rows, or one row with a pack.

B batch, T tokens, N items of a modality, S samples of a pack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from mmmodal.contracts.encoder import collated
from mmmodal.conversation.rendering import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.contracts import Encoder, Modality

__all__ = ["Sample", "collate", "collate_media", "collate_pack"]


@dataclass(frozen=True)
class Sample:
    """One rendered conversation, with the features of its media in the order of their slots."""

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
    length: int = 0,
) -> dict[str, Tensor]:
    """Return samples padded to one length, with the media of the batch joined by modality.

    The length is that of the longest sample, or `length` if that is more.

    `input_ids`, `attention_mask` and `labels` are [B, T]; media tensors hold all N items of the
    batch, concatenated, under the names of `input_names`. A modality without items has no tensors.
    A batch without samples, for a rank that has none in a step, is one token without a label.
    """
    import torch

    samples = samples or [_nothing(pad_token_id)]
    length = max(length, *(len(sample.input_ids) for sample in samples))

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
    return batch | _media(samples, encoders, modalities)


def collate_pack(
    samples: Sequence[Sample],
    encoders: Mapping[str, Encoder],
    modalities: Mapping[str, Modality],
    *,
    pad_token_id: int,
) -> dict[str, Any]:
    """Return samples concatenated to a single row, without padding.

    `input_ids`, `position_ids` and `labels` are [1, T]; positions start at 0 in each sample.
    `cu_seq_lens_q` and `cu_seq_lens_k` are their bounds [S + 1], `max_length_q` and `max_length_k`
    the maximum length, in the form of FlashAttention; they are computed here, as otherwise every
    layer would wait for the GPU. There is no attention mask. Media, and a batch without samples,
    are as in `collate`.
    """
    import torch

    samples = samples or [_nothing(pad_token_id)]
    lengths = [len(sample.input_ids) for sample in samples]
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    longest = max(lengths)
    # Without this, the first token of a sample would be learned from the sample before.
    labels = [label for sample in samples for label in (IGNORE, *sample.labels[1:])]
    batch = {
        "input_ids": torch.tensor([[token for sample in samples for token in sample.input_ids]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "labels": torch.tensor([labels]),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    return batch | _media(samples, encoders, modalities)


def _nothing(pad_token_id: int) -> Sample:
    return Sample([pad_token_id], [IGNORE])


def _media(
    samples: Sequence[Sample],
    encoders: Mapping[str, Encoder],
    modalities: Mapping[str, Modality],
) -> dict[str, Tensor]:
    """Return the tensors of each modality, with items in the order of their slots."""
    items = {
        name: [item for sample in samples for item in sample.features.get(name, [])]
        for name in encoders
    }
    return collate_media(items, encoders, modalities)


def collate_media(
    items: Mapping[str, Sequence[Any]],
    encoders: Mapping[str, Encoder],
    modalities: Mapping[str, Modality],
) -> dict[str, Tensor]:
    """Return the tensors of each modality under the model's names.

    The tensors of an encoder's `collate` are renamed: `values` to the modality's `input_name`, and
    `mask` to that name with the suffix `_mask`.
    """
    tensors: dict[str, Tensor] = {}
    for name, features in items.items():
        if features:
            stem = modalities[name].input_name
            for key, value in collated(encoders[name], features).items():
                tensors[stem if key == "values" else f"{stem}_{key}"] = value
    return tensors
