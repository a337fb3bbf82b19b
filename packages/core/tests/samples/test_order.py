"""The order of samples is a pure function of seed and epoch; ranks share it; it can be entered."""

from __future__ import annotations

import numpy as np
import pytest

from mmmodal.samples.batches import BatchPlan, RankBatches
from mmmodal.samples.order import epoch_order

LENGTHS = (1 + np.arange(97) * 37 % 50).astype(np.int32)


def plan(**more: object) -> BatchPlan:
    settings = {"lengths": LENGTHS, "batch_size": 1, "capacity": 64, "epochs": 2.0, "seed": 5}
    return BatchPlan(**{**settings, **more})  # type: ignore[arg-type]


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    orders = [epoch_order(1000, 0, epoch).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(1000)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] != epoch_order(1000, 1, 0).tolist()
    assert orders[0] == epoch_order(1000, 0, 0).tolist()


def test_the_order_never_changes_from_one_version_to_the_next() -> None:
    """A run that was begun before an update goes on in the same order."""
    assert epoch_order(12, 42, 3).tolist() == [7, 5, 2, 11, 1, 6, 3, 0, 8, 9, 10, 4]


def test_an_order_looks_random() -> None:
    order = epoch_order(20_000, 7, 0)
    assert abs(np.corrcoef(np.arange(20_000), order)[0, 1]) < 0.03
    neighbours = np.abs(np.diff(order))
    assert abs(neighbours.mean() / (20_000 / 3) - 1) < 0.03
    # Neighbouring seeds and epochs have nothing in common.
    for other in (epoch_order(20_000, 8, 0), epoch_order(20_000, 7, 1)):
        assert abs(np.corrcoef(order, other)[0, 1]) < 0.03


def test_samples_that_are_left_out_never_come() -> None:
    lengths = np.array([0, 7, 0, 9, 4], np.int32)
    read = [sample for batch in plan(lengths=lengths).batches() for sample in batch]
    assert sorted(read) == [1, 1, 3, 3, 4, 4]


def test_an_epoch_may_hold_what_a_mixture_draws() -> None:
    def drawn(epoch: int) -> np.ndarray:
        return np.array([5, 5, epoch, 7])

    lengths = LENGTHS.copy()
    lengths[7] = 0  # left out
    read = [sample for batch in plan(drawn=drawn, lengths=lengths).batches() for sample in batch]
    assert sorted(read[:3]) == [0, 5, 5] and sorted(read[3:]) == [1, 5, 5]


def test_no_pack_holds_samples_of_two_epochs() -> None:
    read = [sample for pack in plan().packs() for sample in pack]
    assert sorted(read[:97]) == sorted(read[97:]) == list(range(97))


@pytest.mark.parametrize("capacity", [None, 64])
def test_a_run_reads_each_sample_as_often_as_it_has_epochs(capacity: int | None) -> None:
    batches = list(plan(capacity=capacity, batch_size=3).batches())
    read = sorted(sample for batch in batches for sample in batch)
    assert read == sorted([*range(97), *range(97)])
    assert plan(capacity=capacity, batch_size=3).total_batches == len(batches)


def test_a_part_of_an_epoch_reads_a_part_of_the_samples() -> None:
    read = [sample for batch in plan(epochs=1.5).batches() for sample in batch]
    assert len(read) == round(1.5 * 97)


def test_the_steps_are_the_same_batches_for_any_number_of_ranks() -> None:
    steps = plan().steps(4)
    alone = list(RankBatches(plan(), steps * 4))
    pairs = [list(RankBatches(plan(), steps * 2, rank=rank, ranks=2)) for rank in range(2)]
    fours = [list(RankBatches(plan(), steps, rank=rank, ranks=4)) for rank in range(4)]
    assert [batch for pair in zip(*pairs, strict=True) for batch in pair] == alone
    assert [batch for four in zip(*fours, strict=True) for batch in four] == alone


def test_the_last_step_has_batches_without_samples_where_there_are_none_left() -> None:
    """Every rank takes part in it, and nothing counts twice."""
    steps = plan().steps(8)
    shares = [list(RankBatches(plan(), steps, rank=rank, ranks=8)) for rank in range(8)]
    assert {len(share) for share in shares} == {steps}
    read = sorted(sample for share in shares for batch in share for sample in batch)
    assert read == sorted([*range(97), *range(97)])
    empty = [share[-1] for share in shares if not share[-1]]
    assert len(empty) == steps * 8 - plan().total_batches


def test_more_steps_than_the_epochs_have_go_on_with_further_epochs() -> None:
    number = 3 * plan().total_batches
    read = list(RankBatches(plan(), number, endless=True))
    assert len(read) == number and all(read)
    assert read[: plan().total_batches] == list(plan().batches())


def test_a_run_says_how_many_epochs_it_has_done() -> None:
    whole = plan()
    assert whole.epoch_after(whole.total_batches) == 2.0
    assert whole.epoch_after(0) == 0.0
