"""Figures of cases: of each scorer, each slice and each control, and what media add to them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from evaluations import case_result
from mmmodal_eval.results import CaseResult, ControlResult
from mmmodal_eval.statistics.figures import figures, gains, needless, outcomes


def control(value: float | None) -> ControlResult:
    """Return what a question came to under a control: a value, or no answer."""
    if value is None:
        return ControlResult(answer=None, outcome="failed", note="no such file")
    return ControlResult(answer="red", outcome="scored", counts=(value, 1.0))


def looking(
    number: int, blind: float, tag: str, control_name: str = "image exchanged"
) -> list[CaseResult]:
    """Return cases that are right in 9 of 10, and as often as `blind` under a control."""
    return [
        case_result(
            f"{tag}{index}",
            float(index % 10 != 0),
            tags=(tag,),
            modalities=("image",),
            controls={control_name: control(float((index * 7) % 10 < 10 * blind))},
        )
        for index in range(number)
    ]


def test_cases_without_a_score_are_counted_and_in_no_figure() -> None:
    cases = [
        *(case_result(f"r{index}", 1.0) for index in range(8)),
        case_result("empty", 0.0, outcome="empty"),
        case_result("failed", None),
        case_result("unscored", None, answer="red", outcome="unscored"),
    ]
    whole = figures(cases)[0]
    assert (whole.cases, whole.value, whole.slice, whole.control) == (
        9,
        pytest.approx(8 / 9),
        {},
        None,
    )
    expected = {"scored": 8, "empty": 1, "cut off": 0, "failed": 1, "unscored": 1}
    assert outcomes(cases) == expected


def test_no_scored_case_is_no_figure() -> None:
    assert figures([case_result("a", None)]) == [] and gains([]) == []


def test_each_scorer_has_figures_of_its_own_slices() -> None:
    cases = [
        case_result("a", 1.0, lang="en"),
        case_result("b", 0.0, lang="ms"),
        case_result("c", 1.0, lang="ms"),
    ]
    found = {tuple(one.slice.items()): (one.value, one.cases) for one in figures(cases)}
    assert found[(("lang", "ms"),)] == (0.5, 2) and found[(("lang", "en"),)] == (1.0, 1)


def test_options_of_single_questions_are_one_mean() -> None:
    cases = [case_result("a", 1.0, options={}), case_result("b", 0.0, options={})]
    assert [one.scorer for one in figures(cases)] == ["exact"]


def test_answers_under_a_control_have_figures_and_a_gain() -> None:
    cases = looking(40, 0.3, "hue")
    asked, under = (one for one in figures(cases) if not one.slice)
    assert (asked.value, under.value, under.control) == (0.9, pytest.approx(0.3), "image exchanged")
    (gain,) = gains(cases)
    assert gain.value == pytest.approx(0.6) and gain.low is not None and gain.low > 0.3
    assert (gain.cases, gain.clusters, gain.control) == (40, 40, "image exchanged")


def test_only_cases_with_both_answers_are_in_a_gain() -> None:
    lost = [
        case_result(f"lost{i}", 1.0, controls={"image exchanged": control(None)}) for i in range(5)
    ]
    unscored = [case_result("x", None, controls={"image exchanged": control(1.0)})]
    (gain,) = gains([*looking(20, 0.5, "hue"), *lost, *unscored, case_result("text only", 1.0)])
    assert gain.cases == 20


def test_tasks_that_do_not_need_their_media_are_named() -> None:
    cases = [*looking(60, 0.2, "hue"), *looking(60, 0.9, "capital")]
    found = needless(gains(cases))
    assert [gain.slice for gain in found] == [{"tag": "capital"}]
    assert len(needless(gains(cases), least=0.9)) == 3


def test_a_gain_of_too_few_clusters_says_nothing() -> None:
    (gain,) = gains(looking(1, 0.9, "hue"))
    assert gain.low is None and needless([gain]) == []


def test_a_gain_of_exchanged_media_is_as_certain_as_it_says() -> None:
    """Exchanged media link conversations in a ring; that does not make intervals too narrow.

    Each medium is easy or hard, for its own question and for the one that it is exchanged to.
    """
    rng, held, truth = np.random.default_rng(12), 0, 0.6 - 0.28
    for _ in range(600):
        easy = rng.integers(0, 2, 80)
        asked = rng.random(80) < np.where(easy, 0.9, 0.3)
        under = rng.random(80) < np.where(np.roll(easy, 1), 0.4, 0.16)
        cases = [
            case_result(str(index), float(one), controls={"image exchanged": control(float(other))})
            for index, (one, other) in enumerate(zip(asked, under, strict=True))
        ]
        (gain,) = gains(cases, slices={})
        assert gain.low is not None and gain.high is not None
        held += gain.low <= truth <= gain.high
    assert held / 6 >= 93


def test_values_that_nowhere_differ_have_no_interval() -> None:
    (found,) = figures([case_result(str(index), 0.5) for index in range(40)])
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.method == "no interval, as none differs, 40 clusters"


def test_ten_thousand_cases_take_less_than_two_seconds() -> None:
    cases = [
        case_result(
            str(index),
            float(index % 3 == 0),
            cluster=str(index // 3),
            lang=("en", "ms")[index % 2],
            tags=(f"tag {index % 4}",),
            turn=index % 3,
            media=index % 2,
        )
        for index in range(10_000)
    ]
    start = time.perf_counter()
    assert len(figures(cases)) == 1 + 2 + 4 + 3 + 2
    assert time.perf_counter() - start < 2
