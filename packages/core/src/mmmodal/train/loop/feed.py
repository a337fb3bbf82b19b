"""How a recipe's data reach the Trainer: which samples in which step, joined in which way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import RecordError
from mmmodal.records.dataset import OnError
from mmmodal.samples.batches import BatchPlan, RankBatches
from mmmodal.samples.collation import Sample
from mmmodal.samples.lengths import MeasuredDataset, measure_lengths
from mmmodal.samples.mixing import Mixture
from mmmodal.train.loop.bad_samples import BadSample, GuardedDataset, NamingCollator
from mmmodal.train.loop.workers import prepare_worker
from mmmodal.train.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.utils.data import DataLoader
    from transformers import TrainingArguments

    from mmmodal.samples.dataset import PreparedDataset

__all__ = ["Feed", "bad_records", "feed", "plan_batches"]


@dataclass(frozen=True)
class Feed:
    """What the ranks of a run read."""

    plan: BatchPlan
    mixture: Mixture
    """Which samples an epoch holds, of each dataset."""

    dataset: Any
    """Samples by their number."""

    collate: Callable[[Sequence[Sample | BadSample]], Any]
    batches: RankBatches
    """The share of this rank."""

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
            worker_init_fn=functools.partial(
                prepare_worker,
                workers=arguments.dataloader_num_workers,
                rank=arguments.process_index,
            ),
            pin_memory=arguments.dataloader_pin_memory and torch.cuda.is_available(),
            # Its own, so that reading data leaves the random numbers of training alone.
            generator=torch.Generator().manual_seed(arguments.seed),
        )


def plan_batches(
    recipe: Recipe, mixture: Mixture, lengths: NDArray[np.int32] | None = None
) -> BatchPlan:
    """Say which records come in which batch of a recipe; `lengths` are theirs, for packing."""
    import numpy as np

    if lengths is None:
        lengths = np.ones(sum(mixture.sizes), np.int32)  # in records, which is all that counts
    capacity = recipe.max_tokens if recipe.packing else None
    return BatchPlan(
        lengths, recipe.batch_size, capacity, recipe.epochs, recipe.seed, mixture.epoch
    )


def bad_records(lengths: NDArray[np.int32]) -> list[int]:
    """Return the numbers of the records that have no length, for they cannot be used."""
    bad: list[int] = (lengths == 0).nonzero()[0].tolist()
    return bad


def feed(
    recipe: Recipe,
    dataset: PreparedDataset,
    run: Path,
    arguments: TrainingArguments,
    on_error: OnError = "raise",
) -> Feed:
    """Plan a run, and say its steps to the Trainer.

    With packing, the records are measured first, or their lengths are read from `run`.
    A record that is found to be bad then is told to `on_error`; others are when they are read.

    Raises:
        RecordError: a record is bad, or all are.
    """
    source: Any = dataset
    mixture, preparer = dataset.mixture, dataset.preparer
    lengths = None
    if recipe.packing:
        workers = arguments.dataloader_num_workers
        lengths = measure_lengths(dataset, run, workers=workers, on_error=on_error)
        source = MeasuredDataset(dataset, lengths)
        mixture = mixture.without(bad_records(lengths))
    if not len(mixture):
        raise RecordError(", ".join(map(str, dataset.paths)), "not a single record can be used")
    plan = plan_batches(recipe, mixture, lengths)
    ranks = arguments.world_size
    steps = recipe.max_steps or plan.steps(ranks * recipe.accumulation)
    arguments.max_steps = steps
    batches = RankBatches(
        plan,
        steps * recipe.accumulation,
        rank=arguments.process_index,
        ranks=ranks,
        endless=recipe.max_steps is not None,
    )
    collate = NamingCollator(preparer.collate_pack if recipe.packing else preparer.collate)
    return Feed(plan, mixture, GuardedDataset(source), collate, batches)
