"""Streamed batches: every record once an epoch, in the same order however many processes read."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from mmmodal.samples.streaming.streams import (
    IndexedStream,
    Lane,
    Position,
    Sequel,
    ShardStream,
    Stream,
)

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
        lane = Lane(number, self._lanes)
        streams: list[Stream[str]] = [ShardStream(Sequel(len(SHARDS), 5), rows, lane)]
        if self._mixed:
            streams.append(IndexedStream(Sequel(100, 5), indexed, lane))
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


Opening = Callable[[Lane], Stream[str]]


def read_epochs(opened: Opening, lanes: int, epochs: int) -> Counter[str]:
    """Return what all lanes read in some epochs, in pieces and sometimes reopened."""
    chance = random.Random(lanes)
    everything: Counter[str] = Counter()
    for number in range(lanes):
        stream = opened(Lane(number, lanes))
        position = stream.begin()
        while position[0] < epochs:
            if chance.random() < 0.3:  # as in a process that goes on
                stream = opened(Lane(number, lanes))
            size = chance.randint(1, 20)
            expected = list(islice(one_by_one(opened(Lane(number, lanes)), position), size))
            found, position = stream.take(size, position)
            assert found == [record for _, record in expected]
            everything.update(record for epoch, record in expected if epoch < epochs)
    return everything


def one_by_one(stream: Stream[str], position: Position) -> Iterator[tuple[int, str]]:
    """Yield records with the epochs in which they are read."""
    while True:
        (record,), after = stream.take(1, position)
        yield position[0], record
        position = after


@pytest.mark.parametrize("lanes", [1, 5, 12, 80, 150, 400])
def test_lanes_hold_every_record_of_an_epoch_once(lanes: int) -> None:
    """Also lanes of which there are more than shards."""

    def opened(lane: Lane) -> Stream[str]:
        return ShardStream(Sequel(len(SHARDS), 3), rows, lane)

    assert read_epochs(opened, lanes, 3) == dict.fromkeys(EVERY, 3)


@pytest.mark.parametrize("lanes", [1, 5, 12, 80])
def test_lanes_hold_every_record_of_an_indexed_epoch_once(lanes: int) -> None:
    def opened(lane: Lane) -> Stream[str]:
        return IndexedStream(Sequel(37, 3), indexed, lane)

    assert read_epochs(opened, lanes, 3) == dict.fromkeys(map(indexed, range(37)), 3)


def test_rows_of_several_records_and_of_none_and_empty_shards_lose_nothing() -> None:
    shards = [
        [[f"{n}-{row}-{i}" for i in range((n + row) % 4)] for row in range(n % 3)]
        for n in range(20)
    ]
    every = [name for shard in shards for row in shard for name in row]
    stream = ShardStream(Sequel(20, 3), lambda n, first: iter(shards[n][first:]), Lane(0, 1))
    position, found = stream.begin(), list[str]()
    chance = random.Random(0)
    for _ in range(4):
        left = len(every)
        while left:
            records, position = stream.take(min(left, chance.randint(1, 5)), position)
            left -= len(records)
            found += records
        assert Counter(found[-len(every) :]) == dict.fromkeys(every, 1)


def test_a_lane_that_long_meets_empty_shards_finds_the_other() -> None:
    stream = ShardStream(
        Sequel(96, 0), lambda n, first: iter([["a"]][first if n == 5 else 1 :]), Lane(3, 12)
    )
    assert stream.take(4, stream.begin())[0] == ["a"] * 4


@pytest.mark.parametrize("rows", [[], [[], []]])
def test_a_stream_without_records_ends_with_an_error(rows: list[list[str]]) -> None:
    stream = ShardStream(Sequel(3, 0), lambda n, first: iter(rows[first:]), Lane(0, 1))
    with pytest.raises(EOFError):
        stream.take(1, stream.begin())


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
    return [IndexedStream(Sequel(len(n), 0), n.__getitem__, Lane(0, 1)) for n in names]


def test_a_stream_gives_its_share_of_the_records() -> None:
    streams = of_lists([f"a{n}" for n in range(50)], [f"b{n}" for n in range(7)])
    lane = LanePacks(streams, [3, 1], length, window=10, capacity=None, seed=0)
    drawn = [record[0] for pack in first_packs(lane, 200) for record in pack.records]
    assert Counter(drawn) == {"a": 150, "b": 50}


def test_a_window_ends_with_the_epoch_of_few_records() -> None:
    names = [f"{n}" for n in range(7)]
    lane = LanePacks(of_lists(names), [1], length, window=50, capacity=None, seed=0)
    drawn = [record for pack in first_packs(lane, 21) for record in pack.records]
    for epoch in range(3):
        assert sorted(drawn[7 * epoch : 7 * epoch + 7]) == names


def test_a_window_does_not_end_with_the_epochs_of_a_smaller_data_set() -> None:
    streams = of_lists([f"a{n}" for n in range(20)], ["b0", "b1"])
    lane = LanePacks(streams, [1, 1], length, window=100, capacity=None, seed=0)
    packs = first_packs(lane, 40)
    assert {pack.after.turns for pack in packs[:-1]} == {0}
    assert packs[-1].after.turns == 40
    drawn = Counter(record for pack in packs for record in pack.records)
    assert drawn == {**{f"a{n}": 1 for n in range(20)}, "b0": 10, "b1": 10}


@pytest.mark.parametrize("weights", [[1, 1e-3], [1, 1e-9], [1e-5, 1e-5], [1, 2, 3e-2]])
@pytest.mark.parametrize("phase", [0, 0.3, 0.999])
def test_tiny_shares_are_right_in_the_long_run(weights: list[float], phase: float) -> None:
    names = [[f"{set}{n}" for n in range(1000)] for set in range(len(weights))]
    streams = of_lists(*names)
    lane = LanePacks(streams, weights, length, window=64, capacity=None, seed=0, phase=phase)
    number = 5000
    drawn = Counter(record[0] for pack in first_packs(lane, number) for record in pack.records)
    for set, weight in enumerate(weights):
        assert abs(drawn[str(set)] - number * weight / sum(weights)) <= 65


def test_packs_are_within_the_capacity_and_lose_nothing() -> None:
    names = [f"{n}" for n in range(40)]
    lane = LanePacks(of_lists(names), [1], length, window=40, capacity=90, seed=0)
    packs = list(takewhile_turns(lane, 3 * 40))
    assert max(sum(map(length, pack.records)) for pack in packs) <= 90
    counted = Counter(record for pack in packs for record in pack.records)
    assert counted == dict.fromkeys(names, 3)


def takewhile_turns(lane: LanePacks[str], turns: int) -> Iterator[Pack[str]]:
    for pack in lane.after(lane.begin()):
        yield pack
        if pack.after.turns == turns:
            return


def test_a_bad_row_is_reported_once_wherever_a_run_goes_on() -> None:
    names = [f"{n}{'bad' if n % 5 == 0 else ''}" for n in range(60)]
    lane = LanePacks(of_lists(names), [1], length, window=30, capacity=90, seed=0)
    whole = list(takewhile_turns(lane, 60))
    reported = [error.where for pack in whole for error in pack.bad]
    assert sorted(reported) == sorted(name for name in names if name.endswith("bad"))
    for stop in range(1, len(whole)):
        again = list(islice(lane.after(whole[stop - 1].after), len(whole) - stop))
        assert [error.where for pack in again for error in pack.bad] == [
            error.where for pack in whole[stop:] for error in pack.bad
        ]


def test_bad_rows_take_no_place_in_batches() -> None:
    names = [f"{n}{'' if n % 8 == 0 else 'bad'}" for n in range(80)]
    lane = LanePacks(of_lists(names), [1], length, window=4, capacity=None, seed=0)
    whole = first_packs(lane, 20)
    assert Counter(name for pack in whole for name in pack.records) == {
        name: 2 for name in names if "bad" not in name
    }
    for stop in range(1, 20):
        again = list(islice(lane.after(whole[stop - 1].after), 20 - stop))
        assert [told(pack) for pack in again] == [told(pack) for pack in whole[stop:]]


def told(pack: Pack[str]) -> Any:
    return pack.records, [error.where for error in pack.bad], pack.after


def test_rows_that_are_all_bad_are_reported() -> None:
    lane = LanePacks(of_lists(["1bad", "2bad"]), [1], length, window=2, capacity=90, seed=0)
    (pack,) = first_packs(lane, 1)
    assert not pack.records
    assert {error.where for error in pack.bad} == {"1bad", "2bad"}
