"""Replace slots by the features of all modalities, in one vectorised step.

B batch, T tokens, D width, M all feature vectors of one modality in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmmodal.errors import SpliceError

__all__ = ["Features", "splice"]


class Features(NamedTuple):
    """The projected features of one modality, in order of appearance in the batch."""

    values: Tensor
    """[M, D]"""

    lengths: Sequence[int] | None
    """The number of feature vectors of each item, with the sum M; None if only M is known.

    Without items M may be greater than 0: the features of an example, which fill no slot.
    """


def splice(
    embeddings: Tensor, slots: Mapping[str, Tensor], features: Mapping[str, Features]
) -> Tensor:
    """Return `embeddings` with each slot replaced by its feature vector.

    Args:
        embeddings: [B, T, D], the embeddings of all tokens.
        slots: for each modality [B, T], true at slots.
        features: for each modality its features, in the order of the slots.

    Raises:
        SpliceError: the numbers of slots and features differ; the error names the sample.
    """
    B, T, D = embeddings.shape
    places, vectors = [], []
    for name, (values, lengths) in features.items():
        check(name, slots[name], [1] * len(values) if lengths is None else lengths)
        if lengths is not None and not lengths:
            # The parts of an absent modality stay in the graph, with gradient 0.
            embeddings = embeddings + 0.0 * values.sum().to(embeddings.device, embeddings.dtype)
            continue
        places.append(slots[name].reshape(B * T).nonzero().squeeze(-1))  # [M]
        vectors.append(values)  # [M, D]
    if not places:
        return embeddings
    target = torch.cat(places).to(embeddings.device)
    source = torch.cat([v.to(embeddings.device, embeddings.dtype) for v in vectors])
    return embeddings.reshape(B * T, D).index_copy(0, target, source).view(B, T, D)


def check(name: str, slots: Tensor, lengths: Sequence[int]) -> None:
    """Raise a SpliceError unless the items exactly fill the slots of each sample in turn.

    Comparing totals of the batch is not enough: if one sample had a slot too many and another one
    too few, features would move between samples. Every sample must therefore end with an item.
    """
    upcoming = iter(lengths)
    item = 0
    for sample, wanted in enumerate(slots.sum(-1).tolist()):
        filled = 0
        while filled < wanted:
            length = next(upcoming, None)
            if length is None:
                raise SpliceError(
                    f"sample {sample} of the batch has {wanted} {name} slots, but only {filled} "
                    f"features are left for it (items given: {len(lengths)})"
                )
            filled += length
            item += 1
        if filled != wanted:
            raise SpliceError(
                f"sample {sample} of the batch has {wanted} {name} slots, but its items up to "
                f"number {item} have {filled} features; was it prepared with other options?"
            )
    rest = len(lengths) - item
    if rest:
        raise SpliceError(
            f"{rest} {name} item(s) have no slots: the last sample of the batch, "
            f"{len(slots) - 1}, ends after item {item}"
        )
