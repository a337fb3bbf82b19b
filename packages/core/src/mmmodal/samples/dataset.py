"""Datasets for the Trainer, which render and preprocess records."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mmmodal.contracts.record import Record
from mmmodal.errors import MMModalError, RecordError
from mmmodal.records.dataset import OnError, RecordDataset
from mmmodal.records.detection import find_format
from mmmodal.records.shard import Shard
from mmmodal.records.shards import find_shards
from mmmodal.records.stream import RecordStream
from mmmodal.samples.collation import Sample
from mmmodal.samples.consistency import check_consistency
from mmmodal.samples.feature_cache.media import Medium
from mmmodal.samples.media_files import MediaFile, media_files
from mmmodal.samples.mixing import Mixture
from mmmodal.samples.preparer import Preparer

__all__ = [
    "Extent",
    "Measurement",
    "PreparedDataset",
    "check_record_encoders",
    "check_supervised",
    "open_files",
    "prepare_record",
    "record_length",
]


def prepare_record(
    preparer: Preparer, record: Record, where: str, root: Path, max_tokens: int | None = None
) -> Sample:
    """Return the sample of a record, with its media under `root`.

    The oldest turns of a conversation of more than `max_tokens` are left out, with a warning.

    Raises:
        RecordError: the record cannot be used; names its row.
    """
    with naming_row(where):
        items = [
            (ref.kind, preparer.read(ref.kind, ref.address, root=root)) for ref in record.media
        ]
        return preparer.prepare(record.messages, items, where=where, max_tokens=max_tokens)


def record_length(
    preparer: Preparer, record: Record, where: str, root: Path, max_tokens: int | None = None
) -> int:
    """Return the number of tokens of a record after preparation, slots included.

    Raises:
        RecordError: an error of the record was found; names its row.
    """
    with naming_row(where):
        layouts = [preparer.measure(ref.kind, ref.address, root=root) for ref in record.media]
        rendered = preparer.fit(record.messages, layouts, max_tokens).rendered
    check_supervised(rendered.labels, where)
    return len(rendered.input_ids)


def check_record_encoders(preparer: Preparer, record: Record, where: str, root: Path) -> None:
    """Check that the encoders treat the media of a record equally each time.

    Raises:
        RecordError: one does not; names the row and the encoder.
    """
    with naming_row(where):
        for ref in record.media:
            check_consistency(preparer, ref.kind, ref.address, root=root)


def check_supervised(labels: Sequence[int], where: str) -> None:
    """Check that a sample has an answer of the assistant.

    Raises:
        RecordError: it has none.
    """
    if not any(label >= 0 for label in labels):
        raise RecordError(where, "no assistant turn: there is nothing to learn from it")


@contextlib.contextmanager
def naming_row(where: str) -> Iterator[None]:
    """Raise any MMModalError as a RecordError that names the row.

    Raises:
        RecordError: there was an error.
    """
    try:
        yield
    except RecordError:
        raise
    except MMModalError as error:
        raise RecordError(where, str(error)) from None


class DataFile(Protocol):
    """The settings of a file of records, as in a recipe's `data`."""

    @property
    def path(self) -> str: ...
    @property
    def split(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def weight(self) -> float: ...
    @property
    def format(self) -> str | None: ...
    @property
    def root(self) -> Path | None: ...
    @property
    def streaming(self) -> bool: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def open_files(
    files: Sequence[DataFile],
    *,
    root: Path | None = None,
    root_maps: Sequence[str] = (),
    on_error: OnError = "raise",
    readers: int = 1,
) -> list[RecordDataset | RecordStream]:
    """Return open data files, without a model; a streamed one is not read yet.

    Args:
        files: the files with their settings.
        root: the folder of relative media paths of a file that sets none.
        root_maps: `OLD=NEW` beginnings of media paths.
        on_error: "raise", or a function that gets the error of each bad row, which is left out.
        readers: the number of lanes that read streamed data at the same time.

    Raises:
        RecordError: a file does not exist, has no rows, or cannot be read.
    """
    datasets: list[RecordDataset | RecordStream] = []
    for file in files:
        where = file.root or root
        form = find_format(file.format, file.options) if file.format else None
        found = find_shards(file.path, split=file.split, name=file.name, revision=file.revision)
        settings: Any = {"root": where, "root_maps": root_maps}
        if file.streaming:
            settings["format"] = found.read_as(form)
            dataset: RecordDataset | RecordStream = RecordStream(
                found.shards, readers=readers, **settings
            )
        else:
            dataset = RecordDataset(found, format=form, on_error=on_error, **settings)
        if not dataset:
            raise RecordError(file.path, "it has no records")
        datasets.append(dataset)
    return datasets


class Extent(NamedTuple):
    """How large the data of a run are, so that a resumed run notices if they have changed."""

    number: int
    unit: str
    shards: Sequence[Shard] = ()
    """The data files, whose contents are compared too."""


class Measurement(NamedTuple):
    """The length of a record, and on which files it depends besides the data file."""

    tokens: int
    files: tuple[MediaFile, ...]


class PreparedDataset:
    """Samples by index, each prepared on request, in any process."""

    def __init__(
        self,
        datasets: Sequence[RecordDataset],
        preparer: Preparer,
        *,
        max_tokens: int,
        weights: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        """Combine open data files.

        Args:
            datasets: the records of each file.
            preparer: the preparer of the model.
            max_tokens: the maximum length of a sample; a longer one loses its oldest turns.
            weights: the number of times that each file's records occur in an epoch; by default 1.
            seed: the seed of the order.
        """
        self._datasets = list(datasets)
        self.mixture = Mixture([len(dataset) for dataset in self._datasets], weights, seed)
        """The mixture, which selects the records of an epoch and their order."""

        self.preparer = preparer
        self.max_tokens = max_tokens

    def __len__(self) -> int:
        return sum(self.mixture.sizes)

    @property
    def extent(self) -> Extent:
        """The number of records of all files."""
        files = [file for dataset in self._datasets for file in dataset.files]
        return Extent(len(self), "usable records", files)

    def __getitem__(self, index: int) -> Sample:
        """Return the sample of one record.

        Raises:
            MMModalError: the record cannot be used; names its row.
        """
        where, record, root = self.row(index)
        sample = prepare_record(self.preparer, record, where, root, self.max_tokens)
        check_supervised(sample.labels, where)
        return sample

    def row(self, index: int) -> tuple[str, Record, Path]:
        """Return the position of a record for errors, the record, and the folder of its media."""
        dataset, row = self._locate(index)
        where, record = dataset[row]
        return where, record, dataset.root(row)

    def media(self, kinds: Collection[str], rows: Iterable[int] | None = None) -> list[Medium]:
        """Return the media of some modalities, each once, in the order of the records.

        `rows` are the numbers of the records; by default all.
        """
        found: dict[Medium, None] = {}
        for index in range(len(self)) if rows is None else rows:
            where, record, root = self.row(index)
            for ref in record.media:
                if ref.kind in kinds:
                    found.setdefault(Medium(ref.kind, ref.address, root, where))
        return list(found)

    def measure(self, index: int) -> Measurement:
        """Return the number of tokens of one record without preparing it, and its files of media.

        Raises:
            RecordError: an error of the record was found; names its row.
        """
        where, record, root = self.row(index)
        with naming_row(where):  # before they are read, so that a later change is noticed
            files = media_files(record, root, self.preparer)
        tokens = record_length(self.preparer, record, where, root, self.max_tokens)
        return Measurement(tokens, files)

    def parts(self) -> Iterator[tuple[str, range]]:
        """Yield, for each data file, its key and the numbers of its records."""
        start = 0
        for dataset in self._datasets:
            for key, records in dataset.parts():
                yield key, range(start + records.start, start + records.stop)
            start += len(dataset)

    def check_encoders(self, index: int) -> None:
        """Check that the encoders treat the media of one record equally each time.

        Raises:
            RecordError: one does not; names the row and the encoder.
        """
        where, record, root = self.row(index)
        check_record_encoders(self.preparer, record, where, root)

    @property
    def files(self) -> list[Shard]:
        """The data files."""
        return [file for dataset in self._datasets for file in dataset.files]

    def _locate(self, index: int) -> tuple[RecordDataset, int]:
        for dataset in self._datasets:
            if index < len(dataset):
                return dataset, index
            index -= len(dataset)
        raise IndexError(index)
