"""Feed a recipe's data to the Trainer: the samples of each step, and their collation."""

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
    """The data that the ranks of a run read."""

    plan: BatchPlan
    mixture: Mixture
    """The mixture, which selects the samples of each epoch."""

    dataset: Any
    """The samples by index."""

    collate: Callable[[Sequence[Sample | BadSample]], Any]
    batches: RankBatches
    """The batches of this rank."""

    def loader(self, arguments: TrainingArguments) -> DataLoader[Any]:
        """Return the data loader of this rank, which reads batches in order in worker processes."""
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
            # A separate generator, so that reading data does not change training's random numbers.
            generator=torch.Generator().manual_seed(arguments.seed),
        )


def plan_batches(
    recipe: Recipe, mixture: Mixture, lengths: NDArray[np.int32] | None = None
) -> BatchPlan:
    """Return the plan of a recipe's batches; `lengths` of records are needed for packing."""
    import numpy as np

    if lengths is None:
        lengths = np.ones(sum(mixture.sizes), np.int32)  # only the number of records matters
    capacity = recipe.max_tokens if recipe.packing else None
    return BatchPlan(
        lengths, recipe.batch_size, capacity, recipe.epochs, recipe.seed, mixture.epoch
    )


def bad_records(lengths: NDArray[np.int32]) -> list[int]:
    """Return the numbers of the records with length 0, which cannot be used."""
    bad: list[int] = (lengths == 0).nonzero()[0].tolist()
    return bad


def feed(
    recipe: Recipe,
    dataset: PreparedDataset,
    run: Path,
    arguments: TrainingArguments,
    on_error: OnError = "raise",
) -> Feed:
    """Return the feed of a run, and set the number of steps of the Trainer.

    With packing, the records are measured first, or their lengths are read from `run`. The error
    of a bad record found in measuring is passed to `on_error`; others are found in training.

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
        raise RecordError(", ".join(map(str, dataset.paths)), "none of the records can be used")
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
