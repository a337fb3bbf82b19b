"""The samples of streamed data sets: their lanes, and each sample prepared on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from mmmodal.samples.dataset import Extent, check_supervised, prepare_record, record_length
from mmmodal.samples.order import salted
from mmmodal.samples.preparer import Preparer
from mmmodal.samples.streaming.packs import LanePacks
from mmmodal.samples.streaming.streams import IndexedStream, Lane, ShardStream, Stream

__all__ = ["Found", "StreamedDataset"]


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
        return Extent(sum(file.stat().st_size for file in files), "bytes of data")

    def lane(self, number: int, lanes: int) -> LanePacks[Found]:
        """Return the packs of one of `lanes` lanes."""
        streams = [self._stream(index, number, lanes) for index in range(len(self.datasets))]
        return LanePacks(
            streams,
            self.weights,
            self._length,
            window=self.window,
            capacity=self.capacity,
            seed=salted(self.seed, number),
        )

    def prepare(self, found: Found) -> Sample:
        """Return the sample of a record.

        Raises:
            RecordError: the record cannot be used; names its row.
        """
        where, record, root = self._record(found)
        sample = prepare_record(self.preparer, record, where, root, self.max_tokens)
        check_supervised(sample.labels, where)
        return sample

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

    def _stream(self, index: int, number: int, lanes: int) -> Stream[Found]:
        dataset = self.datasets[index]
        lane = Lane(number, lanes, salted(self.seed, index))
        if isinstance(dataset, RecordDataset):
            return IndexedStream(len(dataset), lambda place: Found(index, place), lane)
        rows = dataset.rows
        return ShardStream(
            len(dataset.shards),
            lambda shard, first: ([Found(index, p) for p in row] for row in rows(shard, first)),
            lane,
        )
