"""Tests of paired differences, against statsmodels and by counting all signs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from mmmodal_eval.statistics.means import mean
from mmmodal_eval.statistics.significance import (
    cluster_signs,
    holm,
    mcnemar,
    smallest_difference,
    t_test,
)


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 0), (1, 0), (3, 9), (40, 22), (600, 500), (0, 60)]
)
def test_mcnemars_test_is_the_exact_one(gained: int, lost: int) -> None:
    expected = contingency_tables.mcnemar([[5, lost], [gained, 7]], exact=True).pvalue
    assert mcnemar(gained, lost) == pytest.approx(expected)
    assert cluster_signs([1] * gained + [-1] * lost + [0] * 5) == pytest.approx(expected)


@pytest.mark.parametrize(
    "sums", [[2, -1, 3, 1], [5], [0, 0], [1, 1, 2, 2, -7, 3, 3, 1, -2], [4, 4, 4, 4, -1]]
)
def test_signs_of_clusters_are_counted_exactly(sums: list[int]) -> None:
    signs = itertools.product((-1, 1), repeat=len(sums))
    reached = [abs(np.dot(each, sums)) >= abs(sum(sums)) for each in signs]
    assert cluster_signs(sums) == pytest.approx(np.mean(reached))


def test_answers_that_agree_within_clusters_show_less_than_mcnemar_says() -> None:
    """Ten pictures with four questions each, of which seven are gained: 7 to 3, not 28 to 12."""
    sums = [4] * 7 + [-4] * 3
    assert cluster_signs(sums) == pytest.approx(mcnemar(7, 3)) and mcnemar(28, 12) < 0.05


def test_equal_models_seem_different_no_more_often_than_they_say() -> None:
    rng = np.random.default_rng(1)
    tested = [
        cluster_signs((rng.integers(1, 6, 30) * rng.choice([-1, 0, 1], 30)).tolist())
        for _ in range(1000)
    ]
    assert 2 <= 100 * np.mean(np.array(tested) < 0.05) <= 6


@pytest.mark.parametrize(
    "tested", [[], [0.2], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 1e-9], [0.02] * 7]
)
def test_probabilities_of_slices_are_corrected_by_holms_method(tested: list[float]) -> None:
    expected = multipletests(tested, method="holm")[1].tolist() if tested else []
    assert holm(tested) == pytest.approx(expected)


def test_means_are_tested_by_students_t() -> None:
    values = np.random.default_rng(2).normal(0.2, 1, 30)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert t_test(mean(values, np.arange(30))) == pytest.approx(expected)
    assert t_test(mean(np.full(5, 0.1), np.arange(5))) == 1 / 16
    assert t_test(mean(np.zeros(5), np.arange(5))) == 1


def test_the_smallest_difference_is_shown_in_eight_of_ten_draws() -> None:
    values = np.random.default_rng(3).normal(0, 1, 80)
    found = mean(values, np.arange(80))
    smallest = smallest_difference(found)
    assert smallest is not None
    power = TTestPower().power(smallest / values.std(ddof=1), nobs=80, alpha=0.05)
    assert power == pytest.approx(0.8, abs=0.01)


def test_one_cluster_shows_no_difference_of_any_size() -> None:
    found = mean(np.array([1.0, 0.0]), np.zeros(2, dtype=np.int64))
    assert smallest_difference(found) is None and math.isnan(found.error)
