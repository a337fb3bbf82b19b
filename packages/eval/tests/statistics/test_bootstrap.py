"""Figures of corpora: word error rates and others, drawn again by clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluations import STRUCTURES, covered
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.statistics.bootstrap import corpus_difference, corpus_figure, exchange_test


class Edits(Scorer):
    """A word error rate: edits over words."""

    name, is_mean, better = "edits", False, "lower"

    def score(self, answer: str, expected: Expected) -> Score:
        """Return one edit of two words."""
        return Score((1.0, 2.0))


class Geometric(Edits):
    """A figure that is no ratio of its counts, as BLEU is none."""

    name = "geometric"

    def figure(self, totals: Sequence[float]) -> float:
        """Return the geometric mean of two shares."""
        return float(np.sqrt(totals[0] / totals[1] * totals[0] / totals[2]))


def draw_edits(
    rng: np.random.Generator, structure: str, clusters: int, rate: float, uneven: float
) -> NDArray[np.float64]:
    """Return the edits and words of clusters, with rates of their own. Shape: [clusters, 2]."""
    sizes = STRUCTURES[structure](rng, clusters)
    words = rng.poisson(11 * sizes) + sizes
    rates = rate * (rng.gamma(1 / uneven, uneven, clusters) if uneven else np.ones(clusters))
    return np.stack([rng.poisson(rates * words), words], axis=1).astype(np.float64)


@pytest.mark.parametrize(
    ("structure", "clusters", "uneven"),
    [
        ("one case each", 30, 0.5),
        ("five cases each", 10, 0),
        ("one to nine cases", 30, 0.5),
        ("one to nine cases", 100, 2),
        ("a few long ones", 100, 0.5),
        ("a few long ones", 1200, 1),
    ],
)
def test_intervals_hold_the_true_rate(structure: str, clusters: int, uneven: float) -> None:
    rng, scorer = np.random.default_rng(5), Edits()

    def draw() -> object:
        return corpus_figure(scorer, draw_edits(rng, structure, clusters, 0.2, uneven), clusters)

    assert 93 <= covered(0.2, 1500 if clusters < 1000 else 400, draw) <= 97


def test_intervals_of_other_figures_hold_the_truth() -> None:
    rng, scorer = np.random.default_rng(6), Geometric()

    def draw() -> object:
        sums = draw_edits(rng, "one to nine cases", 60, 0.5, 0.1)
        return corpus_figure(scorer, np.concatenate([sums, sums[:, 1:]], axis=1), 60)

    assert 93 <= covered(0.5, 600, draw) <= 97


def test_intervals_hold_the_true_difference_of_rates() -> None:
    rng, scorer = np.random.default_rng(7), Edits()

    def draw() -> object:
        first = draw_edits(rng, "one to nine cases", 60, 0.3, 0.5)
        second = np.stack([rng.binomial(first[:, 0].astype(int), 0.8), first[:, 1]], axis=1)
        return corpus_difference(scorer, first, second.astype(np.float64), 60)

    assert 93 <= covered(-0.06, 1500, draw) <= 97


def test_a_model_against_itself_differs_nowhere() -> None:
    sums = draw_edits(np.random.default_rng(8), "one case each", 20, 0.2, 0)
    found = corpus_difference(Edits(), sums, sums, 20)
    assert found is not None and (found.value, found.low, found.high) == (0, 0, 0)
    assert exchange_test(Edits(), sums, sums) == 1


def test_a_clear_difference_is_improbable_by_chance() -> None:
    sums = draw_edits(np.random.default_rng(9), "one case each", 40, 0.4, 0)
    better = np.stack([sums[:, 0] * 0.8, sums[:, 1]], axis=1)
    assert exchange_test(Edits(), sums, better) == pytest.approx(1 / 2001)


def test_chance_differences_are_as_probable_as_they_say() -> None:
    rng, scorer = np.random.default_rng(10), Edits()
    tested = []
    for _ in range(400):
        words = rng.poisson(20, 30) + 1.0
        both = [np.stack([rng.poisson(0.2 * words), words], axis=1) for _ in range(2)]
        tested.append(exchange_test(scorer, both[0], both[1]))
    assert 2 <= 100 * np.mean(np.array(tested) < 0.05) <= 8


@pytest.mark.parametrize("scorer", [Edits(), Geometric()])
def test_few_clusters_have_no_interval(scorer: Scorer) -> None:
    found = corpus_figure(scorer, np.full((4, 3), 2.0), 9)
    assert found is not None and (found.value, found.low, found.cases, found.clusters) == (
        1,
        None,
        9,
        4,
    )
    assert found.method == "no interval under 5 clusters, 4 clusters"


def test_a_corpus_without_words_has_no_figure() -> None:
    assert corpus_figure(Edits(), np.zeros((9, 2)), 9) is None


def test_a_rate_is_never_below_zero() -> None:
    sums = np.array([[0.0, 9.0]] * 11 + [[1.0, 9.0]])
    found = corpus_figure(Edits(), sums, 12)
    assert found is not None and found.low == 0 and found.high is not None and found.high > 0.02
    assert found.method == "bootstrap, percentiles, 12 clusters"


def test_draws_are_the_same_each_time() -> None:
    sums = draw_edits(np.random.default_rng(11), "one case each", 700, 0.2, 1)
    assert corpus_figure(Edits(), sums, 700) == corpus_figure(Edits(), sums, 700)
