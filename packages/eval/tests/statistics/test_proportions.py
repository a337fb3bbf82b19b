"""Shares of right answers and their paired differences: small samples, with clusters and without."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from evaluations import STRUCTURES, covered, draw_right, numbered
from mmmodal_eval.statistics.means import mean
from mmmodal_eval.statistics.proportions import paired_proportions, proportion


@pytest.mark.parametrize(("right", "all_"), [(0, 4), (3, 10), (25, 25), (199, 200), (5, 2000)])
def test_independent_answers_have_wilsons_interval(right: int, all_: int) -> None:
    values = np.array([1.0] * right + [0.0] * (all_ - right))
    found = proportion(values, np.arange(all_))
    assert (found.low, found.high) == pytest.approx(
        proportion_confint(right, all_, method="wilson")
    )
    assert found.method == f"Wilson, {all_} clusters"


def test_many_answers_have_the_interval_of_means() -> None:
    values, clusters = np.tile([1.0, 0.0, 1.0], 200), np.repeat(np.arange(300), 2)
    assert proportion(values, clusters) == mean(values, clusters)


def test_answers_that_agree_within_clusters_count_as_one_each() -> None:
    """Wilson's interval of 20 clusters, wider by Student's t, whatever their size is."""
    right = np.repeat([1.0] * 15 + [0.0] * 5, 8)
    found = proportion(right, np.repeat(np.arange(20), 8))
    alone = proportion(right[::8], np.arange(20))
    assert found.low is not None and alone.low is not None
    assert 0 < alone.low - found.low < 0.03


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_answers_that_are_all_right_or_all_wrong_have_an_interval(value: float) -> None:
    found = proportion(np.full(60, value), np.repeat(np.arange(12), 5))
    assert found.low is not None and found.high is not None
    assert found.low <= value <= found.high and found.high - found.low > 0.2


@pytest.mark.parametrize(
    ("structure", "clusters", "share", "correlation"),
    [
        ("one case each", 20, 0.5, 0),
        ("one case each", 20, 0.8, 0),
        ("one case each", 100, 0.95, 0),
        ("five cases each", 10, 0.8, 0.8),
        ("five cases each", 20, 0.8, 0.3),
        ("five cases each", 100, 0.95, 0.3),
        ("one to nine cases", 20, 0.5, 0.3),
        ("one to nine cases", 50, 0.8, 0.8),
        ("one to nine cases", 100, 0.9, 0),
        ("a few long ones", 50, 0.5, 0.3),
        ("a few long ones", 100, 0.8, 0.3),
        ("a few long ones", 300, 0.8, 0.8),
    ],
)
def test_intervals_hold_the_true_share(
    structure: str, clusters: int, share: float, correlation: float
) -> None:
    rng = np.random.default_rng(3)

    def draw() -> object:
        sizes = STRUCTURES[structure](rng, clusters)
        return proportion(draw_right(rng, sizes, share, correlation), numbered(sizes))

    assert 93 <= covered(share, 3000, draw) <= 97


@pytest.mark.parametrize(
    ("structure", "clusters", "lost", "gained"),
    [
        ("one case each", 60, 0.1, 0.2),
        ("one case each", 200, 0.05, 0.03),
        ("five cases each", 40, 0.1, 0.1),
        ("one to nine cases", 100, 0.1, 0.02),
        ("one to nine cases", 500, 0.06, 0.03),
        ("a few long ones", 100, 0.2, 0.1),
    ],
)
def test_intervals_hold_the_true_difference(
    structure: str, clusters: int, lost: float, gained: float
) -> None:
    """Some clusters have most of the answers that differ: twice as many, or none, at random."""
    rng = np.random.default_rng(4)

    def draw() -> object:
        sizes = STRUCTURES[structure](rng, clusters)
        uneven = np.repeat(rng.choice([0.0, 2.0], clusters), sizes)
        chance = rng.random(len(uneven))
        differences = np.where(
            chance < lost * uneven, -1.0, np.where(chance > 1 - gained * uneven, 1.0, 0.0)
        )
        return paired_proportions(differences, numbered(sizes))

    assert 93 <= covered(gained - lost, 3000, draw) <= 97


def test_answers_that_differ_nowhere_may_differ_elsewhere() -> None:
    found = paired_proportions(np.zeros(50), np.arange(50))
    assert found.value == 0 and found.low is not None and found.low < -0.02
