"""The loss on held-out conversations, which depends on nothing but them and the weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from mmmodal.conversation.rendering import IGNORE
from mmmodal.ranks import everyones, rank, ranks
from mmmodal.train.loop.bad_samples import BAD, ROWS, BadSample, GuardedDataset, NamingCollator
from mmmodal.train.loop.feed import loader_settings

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.samples.dataset import PreparedDataset
    from mmmodal.samples.feature_cache.media import Medium

__all__ = ["HeldOutLoss", "together"]

ROWS_OF_BATCH = 8
"""The maximum number of conversations of a batch."""


def together(lengths: Mapping[int, int], max_tokens: int) -> list[list[int]]:
    """Return the conversations of each batch: of similar lengths, and at most `max_tokens` padded.

    They depend on the lengths alone, so that the loss is the same for any number of ranks, with
    packing and without.

    Args:
        lengths: the number of tokens of each conversation, by its number.
        max_tokens: the maximum number of tokens of a batch; a longer conversation is alone.
    """
    batches: list[list[int]] = []
    for number in sorted(lengths, key=lambda number: (lengths[number], number)):
        fits = batches and (len(batches[-1]) + 1) * lengths[number] <= max_tokens
        if fits and len(batches[-1]) < ROWS_OF_BATCH:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches


@dataclass(frozen=True)
class HeldOutLoss:
    """The mean loss of the answers' tokens of held-out conversations."""

    dataset: PreparedDataset
    batches: Sequence[Sequence[int]]
    """The numbers of the conversations of each batch."""

    arguments: TrainingArguments

    def media(self, kinds: Collection[str]) -> list[Medium]:
        """Return the media of some modalities, each once."""
        return self.dataset.media(kinds, sorted(itertools.chain.from_iterable(self.batches)))

    def measure(self, model: Any, progress: Callable[[int], Any]) -> tuple[float, list[BadSample]]:
        """Return the loss by the model as the ranks run it, and the conversations left out.

        Every rank computes a share, and gets the loss of all.
        """
        sums: dict[int, tuple[float, int]] = {}
        bad: list[BadSample] = []
        mine = range(rank(), len(self.batches), ranks())
        for number, batch in zip(mine, self._loaded(mine), strict=True):
            bad += batch.pop(BAD)
            progress(len(batch.pop(ROWS)))
            sums[number] = _summed_loss(model, batch, self.arguments.device)
        shares = everyones((sums, bad))
        found = {number: pair for share, _ in shares for number, pair in share.items()}
        left_out = [each for _, share in shares for each in share]
        tokens = sum(count for _, count in found.values())
        loss = math.fsum(loss for loss, _ in found.values())
        return loss / tokens if tokens else math.nan, left_out

    def _loaded(self, mine: range) -> Iterator[dict[str, Any]]:
        """Yield the batches of this rank, which worker processes prepare in advance."""
        source: Any = GuardedDataset(self.dataset)
        workers = min(self.arguments.dataloader_num_workers, len(mine))
        loader: DataLoader[Any] = DataLoader(
            source,
            batch_sampler=[list(self.batches[number]) for number in mine],
            collate_fn=NamingCollator(self.dataset.preparer.collate),
            **loader_settings(self.arguments, workers),
        )
        yield from loader


@torch.no_grad()
def _summed_loss(model: Any, batch: Mapping[str, Any], device: Any) -> tuple[float, int]:
    """Return the sum of the losses of a batch's supervised positions, and their number."""
    inputs = {name: value.to(device) for name, value in batch.items()}
    output = model(**inputs, skip_logits=True, num_items_in_batch=1)
    return float(output.loss), int((batch["labels"][:, 1:] != IGNORE).sum())
