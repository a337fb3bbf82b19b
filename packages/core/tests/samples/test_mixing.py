"""What an epoch of several weighted datasets holds, and in what order."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from mmmodal.samples.batches import BatchPlan
from mmmodal.samples.mixing import Mixture
from mmmodal.samples.order import epoch_order


def test_without_weights_every_record_comes_once_in_each_epoch() -> None:
    mixture = Mixture([5, 3], seed=7)
    for epoch in range(3):
        assert mixture.epoch(epoch).tolist() == epoch_order(8, 7, epoch).tolist()


def test_an_epoch_is_a_function_of_seed_and_number_alone() -> None:
    asked, fresh = Mixture([50, 30], [0.3, 2.5], seed=1), Mixture([50, 30], [0.3, 2.5], seed=1)
    third = asked.epoch(3).tolist()
    asked.epoch(0)
    assert asked.epoch(3).tolist() == third == fresh.epoch(3).tolist()
    assert third != fresh.epoch(2).tolist()
    assert third != Mixture([50, 30], [0.3, 2.5], seed=2).epoch(3).tolist()


def test_a_weight_says_how_often_records_come() -> None:
    mixture = Mixture([100, 10, 40], [0.25, 3, 1])
    counts = Counter(mixture.epoch(0).tolist())
    assert mixture.counts == [25, 30, 40]
    assert len(mixture) == sum(counts.values()) == 95
    assert all(counts[number] <= 1 for number in range(100))
    assert all(counts[number] == 3 for number in range(100, 110))
    assert all(counts[number] == 1 for number in range(110, 150))


@pytest.mark.parametrize("weight", [0.25, 0.3, 0.7, 1.5, 2.2])
def test_over_epochs_all_records_of_a_dataset_come_equally_often(weight: float) -> None:
    mixture = Mixture([40, 7], [weight, 1])
    counts: Counter[int] = Counter()
    for epoch in range(9):
        counts.update(mixture.epoch(epoch).tolist())
        shares = [counts[number] for number in range(40)]
        assert max(shares) - min(shares) <= 1


def test_halves_of_a_dataset_take_turns() -> None:
    mixture = Mixture([10], [0.5])
    first, second = set(mixture.epoch(0).tolist()), set(mixture.epoch(1).tolist())
    assert first | second == set(range(10)) and not first & second
    assert set(mixture.epoch(2).tolist()) != first  # each time through in another order


def test_records_left_out_never_come_and_are_not_counted() -> None:
    mixture = Mixture([4, 4, 2], [1, 2, 1], left_out=[1, 5, 6, 8, 9])
    assert mixture.counts == [3, 4, 0]
    assert sorted(mixture.epoch(0).tolist()) == [0, 2, 3, 4, 4, 7, 7]


def test_a_plan_goes_through_the_epochs_of_a_mixture() -> None:
    mixture = Mixture([6, 4], [0.5, 1])
    expected = [*mixture.epoch(0).tolist(), *mixture.epoch(1).tolist(), mixture.epoch(2)[0]]
    plan = BatchPlan(np.ones(10, np.int32), batch_size=1, drawn=mixture.epoch)
    stream = islice(plan.batches(endless=True), 15)
    assert [sample for batch in stream for sample in batch] == expected


def test_what_is_left_out_changes_what_an_epoch_holds_of_its_dataset_alone() -> None:
    mixture = Mixture([6, 4], [0.5, 2]).without([0, 1])
    assert mixture.counts == [2, 8]
    both = [*mixture.epoch(0).tolist(), *mixture.epoch(1).tolist()]
    assert sorted(both) == sorted([2, 3, 4, 5, *[6, 7, 8, 9] * 4])


def test_as_many_weights_as_datasets() -> None:
    with pytest.raises(ValueError, match="1 weights for 2 datasets"):
        Mixture([1, 2], [1])
