"""Streamed batches: every record once an epoch, in the same order however many processes read."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmmodal.errors import RecordError
from mmmodal.samples.streaming import LANES
from mmmodal.samples.streaming.batches import RankPosition, StreamedBatches, fewer_workers
from mmmodal.samples.streaming.packs import LanePacks, Pack
from mmmodal.samples.streaming.streams import IndexedStream, Lane, ShardStream, Stream

SHARDS = {number: [f"{number}-{row}" for row in range(3 + number % 5)] for number in range(120)}
EVERY = sorted(name for names in SHARDS.values() for name in names)


def rows(shard: int, first: int) -> Iterator[Sequence[str]]:
    for name in SHARDS[shard][first:]:
        yield [name]


def length(record: str) -> int:
    if record.endswith("bad"):
        raise RecordError(record, "bad")
    return 10 + sum(map(ord, record)) % 37


def indexed(number: int) -> str:
    return f"indexed-{number}"


def same(record: Any, length: int | None = None) -> Any:
    return record


class Opened:
    """Open the lanes of a run, in any process."""

    def __init__(self, lanes: int, capacity: int | None = 100, mixed: bool = False) -> None:
        self._lanes, self._capacity, self._mixed = lanes, capacity, mixed

    def __call__(self, number: int) -> LanePacks[str]:
        lane = Lane(number, self._lanes, seed=5)
        streams: list[Stream[str]] = [ShardStream(len(SHARDS), rows, lane)]
        if self._mixed:
            streams.append(IndexedStream(100, indexed, lane))
        weights = [1.0, 0.25][: len(streams)]
        return LanePacks(streams, weights, length, window=8, capacity=self._capacity, seed=number)


def batches(
    number: int, workers: int = 0, start: RankPosition | None = None, rank: int = 0, ranks: int = 1
) -> list[Any]:
    data = StreamedBatches(
        Opened(ranks * LANES, mixed=True), same, rank=rank, batch_size=2, start=start
    )
    loader: DataLoader[Any] = DataLoader(
        data, batch_size=None, num_workers=workers, collate_fn=same
    )
    found = list(islice(loader, number))
    return [(batch.samples, batch.lane, batch.after) for batch in found]


def epochs_of(lane: Lane, number: int) -> list[str]:
    """Return what a stream should read in its first epochs."""
    shards = [int(shard) for epoch in range(number) for shard in lane.share(len(SHARDS), epoch)]
    return [name for shard in shards for name in SHARDS[shard]]


@pytest.mark.parametrize("lanes", [1, 5, 12, 80])
def test_a_stream_holds_every_record_of_an_epoch_once(lanes: int) -> None:
    everything: list[str] = []
    chance = random.Random(lanes)
    for number in range(lanes):
        lane = Lane(number, lanes, seed=3)
        expected = epochs_of(lane, 3)
        stream = ShardStream(len(SHARDS), rows, lane)
        found, position = list[str](), stream.begin()
        while len(found) < len(expected):
            size = chance.randint(1, min(20, len(expected) - len(found)))
            if chance.random() < 0.5:  # as in a process that goes on
                stream = ShardStream(len(SHARDS), rows, lane)
            records, position = stream.take(size, position)
            found += records
        assert found == expected
        everything += found
    assert Counter(everything) == dict.fromkeys(EVERY, 3)


def test_a_stream_without_records_ends_with_an_error() -> None:
    with pytest.raises(EOFError):
        ShardStream(3, lambda shard, first: iter(()), Lane(0, 1, seed=0)).take(1, (0, 0, 0))
    with pytest.raises(EOFError):
        IndexedStream(2, indexed, Lane(5, 12, seed=0)).take(1, (0, 0))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    assert batches(30, workers) == batches(30)


@given(stop=st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_a_run_goes_on_after_any_batch(stop: int) -> None:
    whole = batches(45)
    position = RankPosition(0, {})
    for _, lane, cursor in whole[:stop]:
        position = position.after(lane, cursor)
    read = RankPosition.of_json(json.loads(json.dumps(position.to_json())))
    assert batches(45 - stop, start=read) == whole[stop:]


def test_a_run_goes_on_with_another_number_of_workers() -> None:
    whole = batches(40, workers=2)
    position = RankPosition(0, {})
    for _, lane, cursor in whole[:17]:
        position = position.after(lane, cursor)
    assert batches(23, workers=1, start=position) == whole[17:]


def test_ranks_read_different_records() -> None:
    """As many batches as end within the first epoch of every lane."""
    ranks = [batches(12, rank=rank, ranks=2) for rank in range(2)]
    read = [
        [name for samples, _, _ in found for name in samples if "indexed" not in name]
        for found in ranks
    ]
    first = [set(names) for names in read]
    assert not first[0] & first[1]


def test_workers_share_the_lanes_evenly() -> None:
    assert [fewer_workers(number) for number in (0, 1, 2, 3, 4, 5, 7, 11, 12, 40)] == [
        0,
        1,
        2,
        3,
        4,
        4,
        6,
        6,
        12,
        12,
    ]


def first_packs(lane: LanePacks[str], number: int) -> list[Pack[str]]:
    return list(islice(lane.after(lane.begin()), number))


def of_lists(*names: list[str]) -> list[Stream[str]]:
    """Return a stream of each list."""
    lane = Lane(0, 1, seed=0)
    return [IndexedStream(len(each), each.__getitem__, lane) for each in names]


def test_a_stream_gives_its_share_of_the_records() -> None:
    streams = of_lists([f"a{n}" for n in range(50)], [f"b{n}" for n in range(7)])
    lane = LanePacks(streams, [3, 1], length, window=10, capacity=None, seed=0)
    drawn = [record[0] for pack in first_packs(lane, 200) for record in pack.records]
    assert Counter(drawn) == {"a": 150, "b": 50}


def test_packs_are_within_the_capacity_and_lose_nothing() -> None:
    names = [f"{n}" for n in range(40)]
    lane = LanePacks(of_lists(names), [1], length, window=40, capacity=90, seed=0)
    packs = list(takewhile_window(lane, 3))
    assert max(sum(map(length, pack.records)) for pack in packs) <= 90
    counted = Counter(record for pack in packs for record in pack.records)
    assert counted == dict.fromkeys(names, 3)


def takewhile_window(lane: LanePacks[str], windows: int) -> Iterator[Pack[str]]:
    for pack in lane.after(lane.begin()):
        yield pack
        if pack.after.window == windows:
            return


def test_a_bad_row_is_reported_once_wherever_a_run_goes_on() -> None:
    names = [f"{n}{'bad' if n % 5 == 0 else ''}" for n in range(60)]
    lane = LanePacks(of_lists(names), [1], length, window=30, capacity=90, seed=0)
    whole = list(takewhile_window(lane, 2))
    reported = [error.where for pack in whole for error in pack.bad]
    assert sorted(reported) == sorted(name for name in names if name.endswith("bad"))
    for stop in range(1, len(whole)):
        again = list(islice(lane.after(whole[stop - 1].after), len(whole) - stop))
        assert [error.where for pack in again for error in pack.bad] == [
            error.where for pack in whole[stop:] for error in pack.bad
        ]


def test_a_window_of_bad_rows_alone_is_reported() -> None:
    lane = LanePacks(of_lists(["1bad", "2bad"]), [1], length, window=2, capacity=90, seed=0)
    (pack,) = first_packs(lane, 1)
    assert not pack.records
    assert {error.where for error in pack.bad} == {"1bad", "2bad"}
