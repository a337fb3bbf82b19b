"""The keys and values that a dialogue keeps between its prompts, and those of many as one cache.

H heads, D width of a head, S tokens of the longest past, B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Past", "joined_past", "keeps_past", "taken_past"]


@dataclass(frozen=True)
class Past:
    """The tokens that a language model has read of one row."""

    ids: list[int] = field(default_factory=list)
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """The keys and the values of each layer that has its own, [H, tokens, D]."""

    def common(self, ids: Sequence[int]) -> int:
        """Return how many of its tokens a row begins with, of which at least the last is new."""
        same = 0
        while same < min(len(self.ids), len(ids) - 1) and ids[same] == self.ids[same]:
            same += 1
        return same


def joined_past(pasts: Sequence[Past], lengths: Sequence[int]) -> DynamicCache | None:
    """Return the first tokens of several pasts as one cache, [B, H, S, D], padded on the left.

    The pasts are emptied, layer by layer, so that memory holds them only once.

    Args:
        pasts: those of the rows.
        lengths: how many tokens of each are reused.
    """
    if not any(lengths):
        return None
    cache = DynamicCache()
    for number in sorted({number for past in pasts for number in past.layers}):
        rows = [past.layers.pop(number, None) for past in pasts]
        cache.update(_padded(rows, lengths, 0), _padded(rows, lengths, 1), number)
    return cache


def _padded(
    rows: Sequence[tuple[Tensor, Tensor] | None], lengths: Sequence[int], which: int
) -> Tensor:
    """Return the keys (0) or values (1) of rows, [B, H, S, D]."""
    like = next(row[which] for row in rows if row is not None)
    heads, _, width = like.shape
    longest = max(lengths)
    joined = like.new_zeros(len(rows), heads, longest, width)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        if row is not None and length:
            joined[place, :, longest - length :] = row[which][:, :length]
    return joined


def taken_past(cache: Any, rows: Sequence[tuple[list[int], int] | None]) -> list[Past]:
    """Return the past of each row of a cache.

    Args:
        cache: what `generate` returned.
        rows: the ids of each row, and the place of the first of them in the cache; None: nothing
            is kept of the row.
    """
    pasts = [Past([] if row is None else row[0]) for row in rows]
    for place, (row, past) in enumerate(zip(rows, pasts, strict=True)):
        if row is not None:
            tokens = slice(row[1], row[1] + len(row[0]))
            for number, layer in enumerate(cache.layers):
                if layer.is_initialized:  # others share the keys of a layer
                    kept = layer.keys[place][:, tokens], layer.values[place][:, tokens]
                    past.layers[number] = kept
    return pasts


def keeps_past(model: MMModalForConditionalGeneration) -> bool:
    """Return whether a model's past can be taken apart by tokens.

    A sliding window and the state of a recurrent layer hold what later tokens have changed, and
    some models discard their cache at a certain length.
    """
    if not model.head.shares_cache or model.config.recomputes_at is not None:
        return False
    layers = DynamicCache(config=model.config.text_config).layers
    return all(type(layer) is DynamicLayer for layer in layers)
