"""The gate: losses are found, equal models pass, and what is too small to tell passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluations import STRUCTURES, case_result, numbered, write_evaluation
from mmmodal.authoring.parts import MMModalError
from mmmodal_eval.comparing.differences import Compared
from mmmodal_eval.comparing.gate import check, gate
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.results import CaseResult
from mmmodal_eval.scorers.exact import Exact


class WordErrors(Scorer):
    """Edits over words, of which fewer are better."""

    name, is_mean, better = "edits", False, "lower"

    def score(self, answer: str, expected: Expected) -> Score:
        """Return one edit of two words."""
        return Score((1.0, 2.0))


class Points(Exact):
    """A mean of up to 100 points."""

    unit = "points"

    def figure(self, totals: object) -> float:
        """Return the mean in points."""
        return 100 * super().figure(totals)  # type: ignore[arg-type]


def draw(
    rng: np.random.Generator, structure: str, clusters: int, lost: float, gained: float
) -> Compared:
    """Return right and wrong answers of two models, which differ more in some clusters."""
    numbers = numbered(STRUCTURES[structure](rng, clusters))
    uneven = rng.choice([0.5, 1.5], clusters)[numbers]
    chance = rng.random(len(numbers))
    first = np.where(chance < lost * uneven, 1.0, np.where(chance > 1 - gained * uneven, 0.0, -1.0))
    same = (rng.random(len(numbers)) < 0.7).astype(np.float64)
    before = np.where(first < 0, same, first)
    after = np.where(first < 0, same, 1 - first)
    return of(Exact(), before, after, numbers)


def of(
    scorer: Scorer,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    numbers: NDArray[np.int64],
) -> Compared:
    """Return values of two models on the same questions."""
    counts = [np.stack([values, np.ones_like(values)], axis=1) for values in (before, after)]
    return Compared(scorer.name, scorer, {}, counts[0], counts[1], numbers)


def refused(draws: int, one: Callable[[], Compared], allow: float) -> float:
    """Return in how many of 100 draws the gate refuses the second model."""
    found = [check(one(), allow) for _ in range(draws)]
    return 100 * float(np.mean([each is not None and each.verdict == "worse" for each in found]))


@pytest.mark.parametrize(
    ("structure", "clusters", "allow"),
    [("one case each", 1200, 0.0), ("five cases each", 300, 0.0), ("one to nine cases", 700, 0.01)],
)
def test_a_loss_of_three_points_is_found(structure: str, clusters: int, allow: float) -> None:
    """6 of 100 answers differ: 4.5 are lost, 1.5 gained. 1,200 questions show that."""
    rng = np.random.default_rng(1)
    assert refused(1000, lambda: draw(rng, structure, clusters, 0.045, 0.015), allow) >= 95


@pytest.mark.parametrize("allow", [0.0, 0.01])
@pytest.mark.parametrize(
    ("structure", "clusters"),
    [
        ("one case each", 40),
        ("one case each", 1200),
        ("five cases each", 30),
        ("one to nine cases", 300),
    ],
)
def test_equal_models_pass(structure: str, clusters: int, allow: float) -> None:
    rng = np.random.default_rng(2)
    assert refused(1000, lambda: draw(rng, structure, clusters, 0.05, 0.05), allow) <= 5


def test_more_errors_are_a_loss_where_fewer_are_better() -> None:
    rng = np.random.default_rng(3)
    words = rng.poisson(20, 300) + 1.0
    few, more = (
        np.stack([rng.binomial(words.astype(int), p), words], axis=1).astype(float)
        for p in (0.1, 0.14)
    )
    numbers = np.arange(300)
    for first, second, verdict in [
        (few, more, "worse"),
        (more, few, "passes"),
        (few, few, "passes"),
    ]:
        found = check(Compared("edits", WordErrors(), {}, first, second, numbers), 0.0)
        assert found is not None and found.verdict == verdict
    large = check(Compared("edits", WordErrors(), {}, few, more, numbers), 0.1)
    assert large is not None and large.verdict == "passes"


def test_points_may_lose_a_hundred_times_as_much() -> None:
    found = check(of(Points(), np.ones(50), np.zeros(50), np.arange(50)), 0.01)
    assert found is not None and (found.allowed, found.value, found.verdict) == (1, -100, "worse")


def test_a_single_cluster_cannot_tell() -> None:
    found = check(of(Exact(), np.ones(9), np.zeros(9), np.zeros(9, dtype=np.int64)), 0.0)
    assert found is not None and found.verdict == "cannot tell"


def answers(share: float, seed: int, number: int = 400) -> list[CaseResult]:
    """Return cases in two languages."""
    right = np.random.default_rng(seed).random(number) < share
    return [
        case_result(str(i), float(one), lang=("en", "ms")[i % 2]) for i, one in enumerate(right)
    ]


def test_a_gate_reads_what_evaluations_wrote(tmp_path: Path) -> None:
    good, bad = (
        write_evaluation(tmp_path / name, answers(share, 1))
        for name, share in (("good", 0.8), ("bad", 0.6))
    )
    found = gate(good, bad)
    assert not found.passes and [one.verdict for one in found.checks] == ["worse"]
    assert found.level == 0.95 and gate(bad, good).passes and gate(good, good).passes
    assert gate(good, bad, 0.3).passes and gate(good, bad, scorer="exact").checks == found.checks


def test_each_slice_is_a_check_of_a_higher_level(tmp_path: Path) -> None:
    before = answers(0.8, 1)
    lost = [
        case.model_copy(update={"counts": (0.0, 1.0)})
        if case.lang == "ms" and int(case.record) % 10 == 1
        else case
        for case in before
    ]
    found = gate(
        write_evaluation(tmp_path / "a", before),
        write_evaluation(tmp_path / "b", lost),
        0.06,
        slices=True,
    )
    assert found.level == pytest.approx(1 - 0.05 / 3) and not found.passes
    assert [(one.slice, one.verdict) for one in found.checks] == [
        ({}, "passes"),
        ({"lang": "en"}, "passes"),
        ({"lang": "ms"}, "worse"),
    ]


def test_a_scorer_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "a", answers(0.5, 1, 6))
    with pytest.raises(
        MMModalError, match=r"no scorer 'exct' here: exact\. Did you mean 'exact'\?"
    ):
        gate(folder, folder, scorer="exct")
