"""Records as the Trainer wants them: row in, rendered and preprocessed sample out."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.contracts.record import Record
from mmmodal.errors import MMModalError, RecordError
from mmmodal.media import Limits
from mmmodal.records.dataset import OnError, RecordDataset
from mmmodal.samples.collation import Sample
from mmmodal.samples.feature_cache.media import Medium, read_medium
from mmmodal.samples.lengths import check_supervised, record_length
from mmmodal.samples.mixing import Mixture

if TYPE_CHECKING:
    from mmmodal.model.processing import MMModalProcessor
    from mmmodal.train.recipe.recipe import Recipe

__all__ = ["PreparedDataset", "open_files", "prepare_record"]


def prepare_record(
    processor: MMModalProcessor,
    record: Record,
    where: str,
    root: Path,
    limits: Limits | None = None,
    max_tokens: int | None = None,
) -> Sample:
    """Read a record's media under `root`, render and preprocess it.

    Of a conversation of more than `max_tokens` the oldest turns are left out, with a warning.

    Raises:
        RecordError: whatever is wrong with it, with its row.
    """
    try:
        read = functools.partial(
            read_medium, processor, root=root, limits=limits or processor.limits
        )
        items = [(ref.kind, read(ref.kind, ref.uri)) for ref in record.media]
        return processor.prepare(record.messages, items, where=where, max_tokens=max_tokens)
    except RecordError:
        raise
    except MMModalError as error:
        raise RecordError(where, str(error)) from None


def open_files(recipe: Recipe, on_error: OnError = "raise") -> list[RecordDataset]:
    """Open the data files of a recipe, for which no model is needed.

    Args:
        recipe: which names them.
        on_error: "raise", or a function that is told of each bad row, which is left out.

    Raises:
        RecordError: a file has no row at all, or cannot be read.
    """
    datasets = [
        RecordDataset(
            source.path,
            root=source.root or recipe.root,
            format=source.format,
            root_maps=recipe.root_maps,
            on_error=on_error,
        )
        for source in recipe.data
    ]
    for source, dataset in zip(recipe.data, datasets, strict=True):
        if not len(dataset):
            raise RecordError(str(source.path), "there is not a single record in it")
    return datasets


class PreparedDataset:
    """Read, render and preprocess a record when it is asked for, in whatever process asks."""

    def __init__(
        self,
        datasets: Sequence[RecordDataset],
        processor: MMModalProcessor,
        *,
        max_tokens: int,
        limits: Limits | None = None,
        weights: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        self._datasets = list(datasets)
        self.mixture = Mixture([len(dataset) for dataset in self._datasets], weights, seed)
        """Which records an epoch holds, and in which order."""

        self.processor = processor
        self.max_tokens = max_tokens
        self._limits = limits or processor.limits

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        processor: MMModalProcessor,
        context: int | None,
        on_error: OnError = "raise",
    ) -> PreparedDataset:
        """Open the data files of a recipe.

        Args:
            recipe: which names them.
            processor: of the model they are for.
            context: the positions that it has.
            on_error: "raise", or a function that is told of each bad row, which is left out.

        Raises:
            RecordError: a file has no row at all, or cannot be read.
        """
        return cls.of(recipe, open_files(recipe, on_error), processor, context)

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        datasets: Sequence[RecordDataset],
        processor: MMModalProcessor,
        context: int | None,
    ) -> PreparedDataset:
        """Prepare what `open_files` opened."""
        longest = min(recipe.max_tokens, context or recipe.max_tokens)
        weights = [source.weight for source in recipe.data]
        return cls(datasets, processor, max_tokens=longest, weights=weights, seed=recipe.seed)

    def __len__(self) -> int:
        return sum(self.mixture.sizes)

    def __getitem__(self, index: int) -> Sample:
        """Prepare one record.

        Raises:
            MMModalError: whatever is wrong with it, with its row.
        """
        dataset, row = self._locate(index)
        where, record = dataset[row]
        sample = prepare_record(
            self.processor, record, where, dataset.root, self._limits, self.max_tokens
        )
        check_supervised(sample.labels, where)
        return sample

    def media(self, kinds: Collection[str]) -> list[Medium]:
        """List the media of some modalities, each once, in the order of the records."""
        found: dict[Medium, None] = {}
        for dataset in self._datasets:
            for index in range(len(dataset)):
                where, record = dataset[index]
                for ref in record.media:
                    if ref.kind in kinds:
                        found.setdefault(Medium(ref.kind, ref.uri, dataset.root, where))
        return list(found)

    def length(self, index: int) -> int:
        """Tell the tokens of one record without preparing it.

        Raises:
            RecordError: whatever is wrong with it as far as that was looked at, with its row.
        """
        dataset, row = self._locate(index)
        where, record = dataset[row]
        return record_length(
            self.processor, record, where, dataset.root, self._limits, self.max_tokens
        )

    @property
    def paths(self) -> list[Path]:
        """The data files."""
        return [dataset.path for dataset in self._datasets]

    def _locate(self, index: int) -> tuple[RecordDataset, int]:
        for dataset in self._datasets:
            if index < len(dataset):
                return dataset, index
            index -= len(dataset)
        raise IndexError(index)
