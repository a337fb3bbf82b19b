"""Which rows make up a step depends on seed and epoch alone."""

from __future__ import annotations

import itertools

import pytest

from mmmodal.train.batches import StepBatches, shuffled


def steps(count: int, batch: int, accumulation: int, ranks: int, epoch: int = 0) -> list[list[int]]:
    """Return the rows of every step, gathered from all ranks as they train."""
    gathered: list[list[int]] = []
    samplers = [
        StepBatches(
            count, batch_size=batch, accumulation=accumulation, seed=1, rank=rank, ranks=ranks
        )
        for rank in range(ranks)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    per_rank = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(batches) for batches in per_rank]
    rounds = list(zip(*per_rank, strict=True))
    for begin in range(0, len(rounds), accumulation):
        micro = rounds[begin : begin + accumulation]
        gathered.append(list(itertools.chain(*(batch for batches in micro for batch in batches))))
    return gathered


@pytest.mark.parametrize("count", [1, 7, 8, 16, 21, 29])
def test_a_step_has_the_same_rows_however_they_are_spread(count: int) -> None:
    alone = steps(count, batch=8, accumulation=1, ranks=1)
    for batch, accumulation, ranks in [(4, 2, 1), (4, 1, 2), (2, 2, 2), (2, 1, 4), (1, 1, 8)]:
        assert steps(count, batch, accumulation, ranks) == alone


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("count", [5, 12, 13])
def test_an_epoch_has_every_row_once(count: int, ranks: int) -> None:
    seen = sorted(itertools.chain(*steps(count, batch=2, accumulation=2, ranks=ranks)))
    assert seen == list(range(count))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    orders = {tuple(shuffled(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert shuffled(50, 2, 1) == shuffled(50, 2, 1)
    assert steps(20, 2, 1, 2, epoch=3) != steps(20, 2, 1, 2, epoch=4)
