"""The batches of streamed data that one rank reads, in its worker processes, and their position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count, islice, zip_longest
from typing import Any, Generic, TypeVar

from torch.utils.data import IterableDataset, get_worker_info

from mmmodal.errors import RecordError
from mmmodal.samples.streaming import LANES
from mmmodal.samples.streaming.packs import Cursor, LanePacks, Pack

__all__ = ["RankPosition", "StreamedBatch", "StreamedBatches", "fewer_workers"]

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class RankPosition:
    """The position of one rank in a streamed run, after whole batches."""

    turn: int
    """The number of batches that the rank has read."""

    lanes: Mapping[int, Cursor]
    """The positions of the lanes that the rank has read from."""

    def to_json(self) -> dict[str, Any]:
        """Return the position as JSON values."""
        return {"turn": self.turn, "lanes": {str(n): asdict(c) for n, c in self.lanes.items()}}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> RankPosition:
        """Return a position that `to_json` wrote."""
        lanes = {int(number): _cursor(cursor) for number, cursor in values["lanes"].items()}
        return cls(values["turn"], lanes)

    def after(self, lane: int, cursor: Cursor) -> RankPosition:
        """Return the position after one more batch, which was read from `lane`."""
        return RankPosition(self.turn + 1, {**self.lanes, lane: cursor})


def _cursor(values: Mapping[str, Any]) -> Cursor:
    positions = tuple(tuple(position) for position in values["positions"])
    return Cursor(values["turns"], values["packs"], positions)


@dataclass(frozen=True)
class StreamedBatch(Generic[S]):
    """The samples of a batch, and where the stream goes on after it."""

    samples: list[S]
    bad: list[RecordError]
    lane: int
    after: Cursor


def fewer_workers(workers: int) -> int:
    """Return the largest number of worker processes, at most `workers`, that share the lanes."""
    return next(
        number for number in range(min(workers, LANES), -1, -1) if not number or LANES % number == 0
    )


class StreamedBatches(IterableDataset[StreamedBatch[S]], Generic[T, S]):
    """The batches of one rank, lane after lane, without end.

    The order of the batches does not depend on the number of workers.
    """

    def __init__(
        self,
        lane: Callable[[int], LanePacks[T]],
        prepare: Callable[[T, int | None], S],
        *,
        rank: int,
        batch_size: int,
        start: RankPosition | None = None,
    ) -> None:
        """Read lanes.

        Args:
            lane: a function that opens a lane of the whole run by its number.
            prepare: a function that returns the sample of a record, which was measured to have
                some number of tokens, or not.
            rank: the rank, which reads the lanes from `rank * LANES` on.
            batch_size: the number of packs in a batch.
            start: the position of the first batch; by default the beginning.
        """
        self._lane, self._prepare = lane, prepare
        self._rank, self._batch_size = rank, batch_size
        self._start = start or RankPosition(0, {})

    def __iter__(self) -> Iterator[StreamedBatch[S]]:
        """Yield the batches of this worker."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        opened: dict[int, Iterator[Pack[T]]] = {}
        for turn in count(self._start.turn + worker, workers):
            lane = self._rank * LANES + turn % LANES
            if lane not in opened:
                opened[lane] = self._open(lane)
            packs = list(islice(opened[lane], self._batch_size))
            yield self._batch(packs, lane)

    def _open(self, number: int) -> Iterator[Pack[T]]:
        lane = self._lane(number)
        return lane.after(self._start.lanes.get(number) or lane.begin())

    def _batch(self, packs: list[Pack[T]], lane: int) -> StreamedBatch[S]:
        bad = [error for pack in packs for error in pack.bad]
        found = [
            (record, length)
            for pack in packs
            for record, length in zip_longest(pack.records, pack.lengths)
        ]
        samples = [self._prepare(record, length) for record, length in found]
        return StreamedBatch(samples, bad, lane, packs[-1].after)
