"""Means of clustered values: as statsmodels computes them, and as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from evaluations import STRUCTURES, covered, numbered
from mmmodal_eval.statistics.means import mean


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_mean_has_the_interval_of_a_regression_with_clusters(structure: str) -> None:
    rng = np.random.default_rng(1)
    clusters = numbered(STRUCTURES[structure](rng, 25))
    values = rng.normal(0.5, 1, len(clusters)) + rng.normal(0, 1, 25)[clusters]
    found = mean(values, clusters)
    model = sm.OLS(values, np.ones(len(values)))
    fit = model.fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "df_correction": True}, use_t=True
    )
    # statsmodels also multiplies by (cases - 1) / (cases - 1): one column is fitted
    assert found.value == pytest.approx(fit.params[0])
    assert found.error == pytest.approx(fit.bse[0])
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]))
    assert (found.cases, found.clusters, found.method) == (len(values), 25, "t, 25 clusters")


def test_clusters_of_one_case_are_the_textbook_interval() -> None:
    from scipy import stats

    values = np.array([0.1, 0.5, 0.7, 0.2, 0.9])
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    found = mean(values, np.arange(5))
    assert (found.low, found.high) == pytest.approx(expected)


def test_a_single_cluster_has_no_interval() -> None:
    found = mean(np.array([0.0, 0.5]), np.array([3, 3]))
    assert (found.value, found.low, found.high) == (0.25, None, None)
    assert found.method == "no interval, 1 cluster"


@pytest.mark.parametrize(
    ("structure", "clusters", "shared"),
    [
        ("one case each", 10, 0.0),
        ("five cases each", 10, 1.0),
        ("five cases each", 60, 0.3),
        ("one to nine cases", 30, 1.0),
        ("one to nine cases", 200, 0.5),
        ("a few long ones", 60, 0.3),
        ("a few long ones", 200, 1.0),
    ],
)
def test_intervals_hold_the_true_mean(structure: str, clusters: int, shared: float) -> None:
    rng = np.random.default_rng(2)

    def draw() -> object:
        sizes = STRUCTURES[structure](rng, clusters)
        common = rng.normal(0, shared, clusters)
        numbers = numbered(sizes)
        return mean(rng.normal(0.6, 1, len(numbers)) + common[numbers], numbers)

    assert 93 <= covered(0.6, 3000, draw) <= 97
