"""Records as the Trainer wants them: row in, rendered and preprocessed sample out."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmmodal.contracts.record import Record
from mmmodal.errors import MMModalError, RecordError
from mmmodal.records.dataset import OnError, RecordDataset
from mmmodal.samples.collation import Sample
from mmmodal.samples.feature_cache.media import Medium
from mmmodal.samples.mixing import Mixture
from mmmodal.samples.preparer import Preparer

__all__ = ["PreparedDataset", "open_files", "prepare_record", "record_length"]


def prepare_record(
    preparer: Preparer, record: Record, where: str, root: Path, max_tokens: int | None = None
) -> Sample:
    """Read a record's media under `root`, preprocess them and render its conversation.

    Of a conversation of more than `max_tokens` the oldest turns are left out, with a warning.

    Raises:
        RecordError: whatever is wrong with it, with its row.
    """
    with naming_row(where):
        items = [(ref.kind, preparer.read(ref.kind, ref.uri, root=root)) for ref in record.media]
        return preparer.prepare(record.messages, items, where=where, max_tokens=max_tokens)


def record_length(
    preparer: Preparer, record: Record, where: str, root: Path, max_tokens: int | None = None
) -> int:
    """Return the tokens that a record takes once it is prepared, slots included.

    Raises:
        RecordError: whatever is wrong with it as far as that was looked at, with its row.
    """
    with naming_row(where):
        layouts = [preparer.measure(ref.kind, ref.uri, root=root) for ref in record.media]
        rendered = preparer.fit(record.messages, layouts, max_tokens).rendered
    check_supervised(rendered.labels, where)
    return len(rendered.input_ids)


def check_supervised(labels: Sequence[int], where: str) -> None:
    """Refuse a sample in which the assistant says nothing.

    Raises:
        RecordError: it is such a sample.
    """
    if not any(label >= 0 for label in labels):
        raise RecordError(where, "no assistant turn: there is nothing to learn from it")


@contextlib.contextmanager
def naming_row(where: str) -> Iterator[None]:
    """Turn an error of ours into one that names the row.

    Raises:
        RecordError: there was one.
    """
    try:
        yield
    except RecordError:
        raise
    except MMModalError as error:
        raise RecordError(where, str(error)) from None


class DataFile(Protocol):
    """What is said of a file of records: the recipe's `data`."""

    @property
    def path(self) -> Path: ...
    @property
    def weight(self) -> float: ...
    @property
    def format(self) -> str | None: ...
    @property
    def root(self) -> Path | None: ...


def open_files(
    files: Sequence[DataFile],
    *,
    root: Path | None = None,
    root_maps: Sequence[str] = (),
    on_error: OnError = "raise",
) -> list[RecordDataset]:
    """Open data files, for which no model is needed.

    Args:
        files: which.
        root: where relative media paths begin, of a file that does not say so itself.
        root_maps: `OLD=NEW` beginnings of media paths.
        on_error: "raise", or a function that is given each bad row, which is left out.

    Raises:
        RecordError: a file has no row at all, or cannot be read.
    """
    datasets = []
    for file in files:
        where = file.root or root
        settings: Any = {"format": file.format, "root_maps": root_maps, "on_error": on_error}
        dataset = RecordDataset(file.path, root=where, **settings)
        if not len(dataset):
            raise RecordError(str(file.path), "there is not a single record in it")
        datasets.append(dataset)
    return datasets


class PreparedDataset:
    """Read, render and preprocess a record when it is asked for, in whatever process asks."""

    def __init__(
        self,
        datasets: Sequence[RecordDataset],
        preparer: Preparer,
        *,
        max_tokens: int,
        weights: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        """Take data files that are open.

        Args:
            datasets: the records of each.
            preparer: of the model that reads them.
            max_tokens: the longest sample; the oldest turns of a longer one are left out.
            weights: how often the records of each come in an epoch; 1 by default.
            seed: what their order depends on.
        """
        self._datasets = list(datasets)
        self.mixture = Mixture([len(dataset) for dataset in self._datasets], weights, seed)
        """Which records an epoch holds, and in which order."""

        self.preparer = preparer
        self.max_tokens = max_tokens

    def __len__(self) -> int:
        return sum(self.mixture.sizes)

    def __getitem__(self, index: int) -> Sample:
        """Prepare one record.

        Raises:
            MMModalError: whatever is wrong with it, with its row.
        """
        dataset, row = self._locate(index)
        where, record = dataset[row]
        sample = prepare_record(self.preparer, record, where, dataset.root, self.max_tokens)
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
        """Return the tokens of one record without preparing it.

        Raises:
            RecordError: whatever is wrong with it as far as that was looked at, with its row.
        """
        dataset, row = self._locate(index)
        where, record = dataset[row]
        return record_length(self.preparer, record, where, dataset.root, self.max_tokens)

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
