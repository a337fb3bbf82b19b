"""Feed streamed data to the Trainer, with the position of each rank in its checkpoints."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import RecordError
from mmmodal.ranks import rank, ranks
from mmmodal.records.dataset import RecordDataset
from mmmodal.samples.collation import Sample
from mmmodal.samples.lengths import check_length
from mmmodal.samples.streaming import LANES
from mmmodal.samples.streaming.batches import (
    RankPosition,
    StreamedBatch,
    StreamedBatches,
    fewer_workers,
)
from mmmodal.samples.streaming.dataset import Found, StreamedDataset
from mmmodal.train.loop.bad_samples import BAD, BadSample, NamingCollator
from mmmodal.train.loop.feed import loader_settings
from mmmodal.train.recipe import Recipe

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from transformers import TrainingArguments

__all__ = ["StreamedFeed", "streamed_feed"]

AFTER = "after"
"""The key of a batch for the position after it."""


class StreamedFeed:
    """Streamed data, of which each rank reads its own lanes."""

    def __init__(self, recipe: Recipe, source: StreamedDataset) -> None:
        self._source, self._batch_size = source, recipe.batch_size
        self._position = RankPosition(0, {})
        self.room = source.capacity and source.capacity * recipe.batch_size
        preparer = source.preparer
        self.collate: Callable[[Any], dict[str, Any]] = _Collator(
            preparer.collate_pack if recipe.packing else preparer.collate
        )

    @property
    def dataset(self) -> StreamedBatches[Found, Sample | BadSample]:
        """The batches of this rank, from its position on."""
        return StreamedBatches(
            functools.partial(self._source.lane, lanes=ranks() * LANES),
            functools.partial(_guarded, self._source),
            rank=rank(),
            batch_size=self._batch_size,
            start=self._position,
        )

    def loader(self, arguments: TrainingArguments) -> DataLoader[Any]:
        """Return the data loader of this rank, which reads batches in order in worker processes."""
        from torch.utils.data import DataLoader

        workers = fewer_workers(arguments.dataloader_num_workers)
        settings = loader_settings(arguments, workers)
        return DataLoader(self.dataset, batch_size=None, collate_fn=self.collate, **settings)

    def summary(self) -> str:
        """Return how the data are shuffled."""
        return f"Streaming, shuffled in windows of {self._source.window:,} conversations"

    def epoch_after(self, batches: int) -> float:
        """Return the mean number of epochs that this rank's lanes have begun before."""
        begun = [cursor.positions[0][0] for cursor in self._position.lanes.values()]
        return sum(begun) / len(begun) if begun else 0.0

    def counts(self) -> list[tuple[int | None, int | None]]:
        """Return the records of each indexed data set; an epoch is that of each data set alone."""
        return [
            (len(dataset) if isinstance(dataset, RecordDataset) else None, None)
            for dataset in self._source.datasets
        ]

    def took(self, batch: dict[str, Any]) -> None:
        """Move to the position after a batch."""
        self._position = self._position.after(*batch.pop(AFTER))

    def save(self, folder: Path) -> None:
        """Write the position of this rank to the folder of a checkpoint."""
        path = folder / f"stream-{rank()}.json"
        path.write_text(json.dumps(self._position.to_json()), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Go on after the position in the folder of a checkpoint."""
        text = (folder / f"stream-{rank()}.json").read_text(encoding="utf-8")
        self._position = RankPosition.of_json(json.loads(text))


class _Collator:
    """Collate the samples of a streamed batch, with the position after it."""

    def __init__(self, collate: Callable[[Sequence[Sample]], Any]) -> None:
        self._collate = NamingCollator(collate)

    def __call__(self, batch: StreamedBatch[Sample | BadSample]) -> dict[str, Any]:
        collated = self._collate(batch.samples)
        collated[BAD] += [BadSample(error.where, error.reason) for error in batch.bad]
        return {**collated, AFTER: (batch.lane, batch.after)}


def _guarded(source: StreamedDataset, found: Found, length: int | None) -> Sample | BadSample:
    """Return the sample of a record, or a BadSample."""
    try:
        sample = source.prepare(found)
        if length is not None:
            check = functools.partial(source.check_encoders, found)
            check_length(sample, length, check, "restore it, and start again")
    except RecordError as error:
        return BadSample(error.where, error.reason)
    return sample


def streamed_feed(
    recipe: Recipe, source: StreamedDataset, arguments: TrainingArguments
) -> StreamedFeed:
    """Return the feed of streamed data, and set the number of steps of the Trainer."""
    assert recipe.max_steps is not None, "a recipe of streamed data has max_steps"
    arguments.max_steps = recipe.max_steps
    return StreamedFeed(recipe, source)
