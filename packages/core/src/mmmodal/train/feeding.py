"""How a recipe's data reach the Trainer: which samples in which step, joined in which way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.data.batches import BatchPlan, RankBatches
from mmmodal.data.collation import Sample
from mmmodal.data.lengths import MeasuredDataset, measure_lengths
from mmmodal.train.recipe import Recipe

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from transformers import TrainingArguments

    from mmmodal.data.prepared import PreparedDataset
    from mmmodal.model.processing import MMModalProcessor

__all__ = ["Feed", "feed"]


@dataclass(frozen=True)
class Feed:
    """What the ranks of a run read."""

    plan: BatchPlan
    dataset: Any
    """Samples by their number."""

    collate: Callable[[Sequence[Sample]], Any]
    batches: RankBatches
    """The share of this rank."""

    steps: int
    """How often the weights change."""

    def loader(self, arguments: TrainingArguments) -> DataLoader[Any]:
        """Read the batches of this rank in worker processes, in order."""
        import torch
        from torch.utils.data import DataLoader

        return DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            collate_fn=self.collate,
            num_workers=arguments.dataloader_num_workers,
            prefetch_factor=arguments.dataloader_prefetch_factor,
            persistent_workers=arguments.dataloader_persistent_workers,
            pin_memory=arguments.dataloader_pin_memory and torch.cuda.is_available(),
            # Its own, so that reading data leaves the random numbers of training alone.
            generator=torch.Generator().manual_seed(arguments.seed),
        )


def feed(
    recipe: Recipe,
    dataset: PreparedDataset,
    processor: MMModalProcessor,
    run: Path,
    arguments: TrainingArguments,
) -> Feed:
    """Plan a run; with packing, the records are measured first, or their lengths read from `run`.

    Raises:
        RecordError: a record is bad.
    """
    import numpy as np

    source: Any = dataset
    if recipe.packing:
        lengths = measure_lengths(dataset, run, workers=recipe.workers)
        source = MeasuredDataset(dataset, lengths)
    else:
        lengths = np.ones(len(dataset), np.int32)  # in samples, which is all that counts
    capacity = recipe.max_tokens if recipe.packing else None
    plan = BatchPlan(lengths, recipe.batch_size, capacity, recipe.epochs, recipe.seed)
    ranks = arguments.world_size
    steps = recipe.max_steps or plan.steps(ranks * recipe.accumulation)
    batches = RankBatches(
        plan,
        steps * recipe.accumulation,
        rank=arguments.process_index,
        ranks=ranks,
        endless=recipe.max_steps is not None,
    )
    collate = processor.collate_pack if recipe.packing else processor.collate
    return Feed(plan, source, collate, batches, steps)
