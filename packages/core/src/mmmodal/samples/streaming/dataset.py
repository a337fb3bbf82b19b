"""The samples of streamed data sets: their lanes, and each sample prepared on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.files import files_of
from mmmodal.records.dataset import RecordDataset
from mmmodal.records.reading import RecordPlace
from mmmodal.records.shard import LocalShard, Shard
from mmmodal.records.stream import RecordStream
from mmmodal.samples.collation import Sample
from mmmodal.samples.dataset import (
    Extent,
    check_record_encoders,
    check_supervised,
    prepare_record,
    record_length,
)
from mmmodal.samples.order import salted
from mmmodal.samples.preparer import Preparer
from mmmodal.samples.streaming.packs import LanePacks
from mmmodal.samples.streaming.streams import IndexedStream, Lane, Sequel, ShardStream, Stream

__all__ = ["Found", "StreamedDataset"]


GOLDEN = 0.6180339887
"""The multiples of this share spread evenly over whole ones, so that lanes mix data in turn."""


class Found(NamedTuple):
    """A record of a streamed data set, or the error of a bad row."""

    dataset: int
    place: RecordPlace | RecordError | int
    """Its place in a stream, or its index in an indexed data set."""


@dataclass(frozen=True)
class StreamedDataset:
    """Data sets of which at least one is a stream, mixed by weight."""

    datasets: Sequence[RecordStream | RecordDataset]
    weights: Sequence[float]
    """The proportions of the records of each data set."""

    preparer: Preparer
    max_tokens: int
    window: int
    """The number of records that are shuffled and packed together."""

    capacity: int | None = None
    """The maximum number of tokens in a pack; None: samples are not packed."""

    seed: int = 0

    @property
    def files(self) -> list[Shard]:
        """The data files."""
        return [file for dataset in self.datasets for file in dataset.files]

    @property
    def extent(self) -> Extent:
        """The number of bytes of all local files; those of the Hub are pinned to a commit."""
        local = [shard.file for shard in self.files if isinstance(shard, LocalShard)]
        files = [file for path in local for file in files_of(path)]
        return Extent(sum(file.stat().st_size for file in files), "bytes of data", self.files)

    def lane(self, number: int, lanes: int) -> LanePacks[Found]:
        """Return the packs of one of `lanes` lanes."""
        lane = Lane(number, lanes)
        streams = [self._stream(index, lane) for index in range(len(self.datasets))]
        return LanePacks(
            streams,
            self.weights,
            self._check if self.capacity is None else self._length,
            window=self.window,
            capacity=self.capacity,
            seed=salted(self.seed, number),
            phase=number * GOLDEN % 1,
        )

    def first(self, number: int) -> list[Found]:
        """Return at most `number` records, in the proportions of the mixture, without the rest."""
        return replace(self, window=number).lane(0, 1).first_window()

    def prepare(self, found: Found) -> Sample:
        """Return the sample of a record.

        Raises:
            RecordError: the record cannot be used; names its row.
        """
        where, record, root = self._record(found)
        sample = prepare_record(self.preparer, record, where, root, self.max_tokens)
        check_supervised(sample.labels, where)
        return sample

    def check_encoders(self, found: Found) -> None:
        """Check that the encoders treat the media of one record equally each time.

        Raises:
            RecordError: one does not; names the row and the encoder.
        """
        where, record, root = self._record(found)
        check_record_encoders(self.preparer, record, where, root)

    def _check(self, found: Found) -> int:
        """Raise the error of a row that is no record; media are read later."""
        if isinstance(found.place, RecordError):
            raise found.place
        return 1

    def _length(self, found: Found) -> int:
        where, record, root = self._record(found)
        return record_length(self.preparer, record, where, root, self.max_tokens)

    def _record(self, found: Found) -> tuple[str, Record, Path]:
        if isinstance(found.place, RecordError):
            raise found.place
        dataset = self.datasets[found.dataset]
        if isinstance(dataset, RecordDataset):
            assert isinstance(found.place, int)
            return *dataset[found.place], dataset.root(found.place)
        assert isinstance(found.place, RecordPlace)
        return *dataset.record(found.place), dataset.root_of(found.place.file)

    @cached_property
    def _sequels(self) -> list[Sequel]:
        """The order of the records of each indexed data set, and of the shards of each stream."""
        sizes = [len(d if isinstance(d, RecordDataset) else d.shards) for d in self.datasets]
        return [Sequel(size, salted(self.seed, index)) for index, size in enumerate(sizes)]

    def _stream(self, index: int, lane: Lane) -> Stream[Found]:
        dataset, sequel = self.datasets[index], self._sequels[index]
        if isinstance(dataset, RecordDataset):
            return IndexedStream(sequel, lambda number: Found(index, number), lane)
        rows = dataset.rows
        return ShardStream(
            sequel,
            lambda shard, first: ([Found(index, p) for p in row] for row in rows(shard, first)),
            lane,
        )
