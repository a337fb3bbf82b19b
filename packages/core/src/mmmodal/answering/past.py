"""The keys and values that a dialogue keeps between its prompts, and those of many as one cache.

H heads, D width of a head, S tokens of the longest past, B rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
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
    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """The keys and the values of each layer, [H, tokens, D]."""

    def common(self, ids: Sequence[int], inside: Collection[int]) -> int:
        """Return how many of its tokens a row begins with, of which at least the last is new.

        Args:
            ids: the row.
            inside: the ids of slots; a medium is reused whole or not at all.
        """
        pairs = zip(self.ids, ids[:-1], strict=False)
        same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
        same = min(len(self.ids), len(ids) - 1) if same is None else same
        while same and ids[same] in inside:
            same -= 1
        return same


def joined_past(pasts: Sequence[Past], lengths: Sequence[int]) -> DynamicCache | None:
    """Return the first tokens of several pasts as one cache, [B, H, S, D], padded on the left.

    The pasts are emptied, layer by layer, so that the memory holds them only once.

    Args:
        pasts: those of the rows.
        lengths: how many tokens of each are reused.
    """
    if not any(lengths):
        return None
    cache = DynamicCache()
    (example,) = {len(past.layers) for past in pasts if past.layers}
    for number in range(example):
        rows = [past.layers.pop(0) if past.layers else None for past in pasts]
        cache.update(*(_padded(rows, lengths, which) for which in (0, 1)), number)
    return cache


def _padded(
    rows: Sequence[tuple[Tensor, Tensor] | None], lengths: Sequence[int], which: int
) -> Tensor:
    like = next(row[which] for row in rows if row is not None)
    heads, _, width = like.shape
    longest = max(lengths)
    joined = like.new_zeros(len(rows), heads, longest, width)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        if row is not None and length:
            joined[place, :, longest - length :] = row[which][:, :length]
    return joined


def taken_past(cache: Any, rows: Sequence[tuple[list[int], list[int]] | None]) -> list[Past]:
    """Return the past of each row of a cache, which is emptied layer by layer.

    Args:
        cache: what `generate` returned.
        rows: the ids of each row and their places in the cache; None: nothing is kept of it.
    """
    if (
        not any(rows)
        or not _is_plain(cache)
        or not all(layer.is_initialized for layer in cache.layers)
    ):
        return [Past() for _ in rows]
    pasts = [Past([] if row is None else row[0]) for row in rows]
    places = [None if row is None else torch.tensor(row[1]) for row in rows]
    while cache.layers:
        layer = cache.layers.pop(0)
        for number, (past, at) in enumerate(zip(pasts, places, strict=True)):
            if at is not None:
                chosen = at.to(layer.keys.device)
                past.layers.append((layer.keys[number][:, chosen], layer.values[number][:, chosen]))
    return pasts


def keeps_past(model: MMModalForConditionalGeneration) -> bool:
    """Return whether a model's past can be taken apart by tokens.

    A sliding window and the state of a recurrent layer hold what later tokens have changed, and
    some models discard their cache at a certain length.
    """
    if not model.head.shares_cache or model.config.recomputes_at is not None:
        return False
    return _is_plain(DynamicCache(config=model.config.text_config))


def _is_plain(cache: Any) -> bool:
    return type(cache) is DynamicCache and all(type(each) is DynamicLayer for each in cache.layers)
