"""Accuracies and blind baselines of a quickstart are what its results say they are."""

from __future__ import annotations

import pytest

from evaluations import case_result
from mmmodal.errors import MMModalError
from mmmodal_eval import CaseResult, ControlResult
from mmmodal_playground.quickstart.accuracies import EXCHANGED, accuracies, majorities, task_of


def case(
    record: str, answer: str, kind: str = "colour", task: str = "image", **about: object
) -> CaseResult:
    return case_result(record, lang="en", tags=(task, kind), references=(answer,), **about)


def shuffled(value: float) -> dict[str, ControlResult]:
    result = ControlResult(answer="red", outcome="scored", counts=(value, 1.0))
    return {EXCHANGED: result}


def test_the_majority_knows_the_commonest_answer_to_each_kind_of_question() -> None:
    answers = [("red", "yes"), ("Red.", "no"), ("blue", "no")]
    cases = [
        case(str(number), answer, kind)
        for number, pair in enumerate(answers)
        for kind, answer in zip(("colour", "shows"), pair, strict=True)
    ]
    assert majorities(cases) == {"image-en": 4 / 6}


def test_each_task_has_its_accuracies_beside_the_baselines() -> None:
    trained = [
        case("a", "red", value=1.0, controls=shuffled(0.0)),
        case("a", "blue", value=0.0, controls=shuffled(0.0)),
        case("b", "red", value=1.0, controls=shuffled(1.0)),
        case("c", "two", task="audio", value=1.0, controls=shuffled(0.0)),
        case("d", "two", task="audio", value=1.0, controls=shuffled(0.0)),
    ]
    aligned = [each.model_copy(update={"counts": (0.0, 1.0)}) for each in trained]
    found = accuracies(trained, aligned)
    assert list(found) == ["image-en", "audio-en"]
    low, high = found["image-en"].pop("low"), found["image-en"].pop("high")
    assert low < 2 / 3 < high
    assert found["image-en"] == {
        "accuracy": 2 / 3,
        "n": 3,
        "conversations": 2,
        "majority": 2 / 3,
        "shuffled": 1 / 3,
        "stage1": 0.0,
    }


def test_data_of_an_earlier_version_are_told() -> None:
    with pytest.raises(MMModalError, match=r"rows\.jsonl:a: it does not say its task"):
        task_of(case_result("a"))
