"""Feed a recipe's data to the Trainer: the samples of each step, and their collation.

Indexed data have a plan of all batches before the first step; streamed data have positions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmmodal.errors import RecordError
from mmmodal.records.dataset import OnError
from mmmodal.samples.batches import BatchPlan, RankBatches
from mmmodal.samples.lengths import MeasuredDataset, measure_lengths
from mmmodal.samples.mixing import Mixture
from mmmodal.train.loop.bad_samples import GuardedDataset, NamingCollator
from mmmodal.train.loop.workers import prepare_worker
from mmmodal.train.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.utils.data import DataLoader
    from transformers import TrainingArguments

    from mmmodal.samples.dataset import PreparedDataset

__all__ = ["Feed", "PlannedFeed", "bad_records", "loader_settings", "plan_batches", "planned_feed"]


class Feed(Protocol):
    """The data that the ranks of a run read."""

    @property
    def dataset(self) -> Any:
        """What the data loader reads."""

    @property
    def collate(self) -> Callable[[Any], dict[str, Any]]:
        """The collator of what it reads."""

    @property
    def room(self) -> int | None:
        """The tokens for which a batch of packs has room."""

    def loader(self, arguments: TrainingArguments) -> DataLoader[Any]:
        """Return the data loader of this rank, which reads batches in order in worker processes."""

    def summary(self) -> str:
        """Return a line for users about the packs; empty if samples are not packed."""

    def epoch_after(self, batches: int) -> float:
        """Return the number of epochs that a number of batches of all ranks makes."""

    def counts(self) -> list[tuple[int | None, int | None]]:
        """Return the records of each data set, in all and in an epoch; None: not known."""

    def took(self, batch: dict[str, Any]) -> None:
        """Note that a batch trains now, and remove from it what is no input of the model."""

    def save(self, folder: Path) -> None:
        """Write the position of this rank to the folder of a checkpoint."""

    def restore(self, folder: Path) -> None:
        """Go on after the position in the folder of a checkpoint, before anything is read."""


@dataclass(frozen=True)
class PlannedFeed:
    """Indexed data, whose batches are planned before the first step."""

    plan: BatchPlan
    mixture: Mixture
    """The mixture, which selects the samples of each epoch."""

    dataset: Any
    """The samples by index."""

    collate: Callable[[Any], dict[str, Any]]
    batches: RankBatches
    """The batches of this rank."""

    @property
    def room(self) -> int | None:
        """The tokens for which a batch of packs has room."""
        return self.plan.capacity and self.plan.capacity * self.plan.batch_size

    def loader(self, arguments: TrainingArguments) -> DataLoader[Any]:
        """Return the data loader of this rank, which reads batches in order in worker processes."""
        from torch.utils.data import DataLoader

        return DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            collate_fn=self.collate,
            **loader_settings(arguments, arguments.dataloader_num_workers),
        )

    def summary(self) -> str:
        """Return how full the packs are."""
        if self.plan.capacity is None:
            return ""
        return (
            f"Packed {self.plan.total_samples:,} conversations into {self.plan.total_packs:,} "
            f"packs of up to {self.plan.capacity:,} tokens, which are "
            f"{self.plan.utilisation:.1%} full"
        )

    def epoch_after(self, batches: int) -> float:
        """Return the number of epochs that a number of batches of all ranks makes."""
        return self.plan.epoch_after(batches)

    def counts(self) -> list[tuple[int | None, int | None]]:
        """Return the records of each data set, in all and in an epoch."""
        return list(zip(self.mixture.sizes, self.mixture.counts, strict=True))

    def took(self, batch: dict[str, Any]) -> None:
        """Do nothing: the step alone says which batch is next."""

    def save(self, folder: Path) -> None:
        """Write nothing."""

    def restore(self, folder: Path) -> None:
        """Do nothing: the Trainer skips the batches before its step."""


def loader_settings(arguments: TrainingArguments, workers: int) -> dict[str, Any]:
    """Return the settings of a data loader that do not depend on the kind of data."""
    import torch

    return {
        "num_workers": workers,
        "prefetch_factor": arguments.dataloader_prefetch_factor if workers else None,
        "persistent_workers": workers > 0,
        "worker_init_fn": functools.partial(
            prepare_worker, workers=workers, rank=arguments.process_index
        ),
        "pin_memory": arguments.dataloader_pin_memory and torch.cuda.is_available(),
        # A separate generator, so that reading data does not change training's random numbers.
        "generator": torch.Generator().manual_seed(arguments.seed),
    }


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


def planned_feed(
    recipe: Recipe,
    dataset: PreparedDataset,
    run: Path,
    arguments: TrainingArguments,
    on_error: OnError = "raise",
) -> PlannedFeed:
    """Return the feed of indexed data, and set the number of steps of the Trainer.

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
        names = ", ".join(file.name for file in dataset.files)
        raise RecordError(names, "none of the records can be used")
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
    return PlannedFeed(plan, mixture, GuardedDataset(source), collate, batches)
