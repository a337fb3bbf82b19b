"""Two models on the same questions: what is compared, and what is told of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluations import case_result, write_evaluation
from mmmodal.authoring.parts import MMModalError, RecordError
from mmmodal_eval.comparing.comparison import compare
from mmmodal_eval.results import CaseResult


def answered(number: int, share: float, seed: int, **about: object) -> list[CaseResult]:
    """Return cases of conversations with two turns, right with some probability."""
    right = np.random.default_rng(seed).random(number) < share
    return [
        case_result(
            f"r{index // 2}",
            float(one),
            **{"turn": index % 2, "lang": ("en", "ms")[index // 2 % 2], "digest": str(index)}
            | about,
        )
        for index, one in enumerate(right)
    ]


def test_a_difference_is_b_minus_a_on_the_same_questions(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "old", answered(200, 0.5, 1))
    b = write_evaluation(tmp_path / "new", answered(200, 0.9, 2))
    found = compare(a, b)
    whole = found.differences[0]
    assert (whole.slice, whole.cases, whole.clusters) == ({}, 200, 100)
    assert whole.value == pytest.approx(whole.b - whole.a) and whole.value > 0.3
    assert whole.gained is not None and whole.lost is not None
    assert whole.gained - whole.lost == round(200 * whole.value)
    assert (whole.verdict, whole.test, whole.p_holm) == ("better", "exact signs of clusters", None)
    assert whole.p_mcnemar is not None and whole.p_mcnemar < 1e-9 > whole.p
    slices = [one.slice for one in found.differences[1:]]
    assert slices == [{"lang": "en"}, {"lang": "ms"}, {"turn": "0"}, {"turn": "1"}]
    assert all(one.p_holm is not None and one.p_holm >= one.p for one in found.differences[1:])
    assert compare(b, a).differences[0].verdict == "worse"
    assert not found.shared.notes


def test_a_model_against_itself_shows_no_difference(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "one", answered(40, 0.5, 1))
    found = compare(folder, folder)
    assert {one.verdict for one in found.differences} == {"no difference shown"}
    assert found.differences[0].p == 1 and found.differences[0].value == 0
    assert found.differences[0].smallest is not None and found.differences[0].smallest > 0


def test_questions_that_are_not_shared_are_counted(tmp_path: Path) -> None:
    both = answered(20, 0.5, 1)
    a = [*both, case_result("only a"), case_result("changed", digest="1"), case_result("lost", 1.0)]
    b = [
        *both,
        case_result("changed", digest="2"),
        case_result("lost", None),
        case_result("x"),
        case_result("y"),
    ]
    a += [case_result("options", options={"a": 1})]
    b += [case_result("options", options={"a": 2})]
    found = compare(write_evaluation(tmp_path / "a", a), write_evaluation(tmp_path / "b", b)).shared
    assert (found.cases, found.only_a, found.only_b, found.changed) == (20, 1, 2, 2)
    assert (found.unscored_a, found.unscored_b, found.unscored_both) == (0, 1, 0)
    assert found.notes == (
        "1 case is only in a",
        "2 cases are only in b",
        "2 cases are in both, but not the same question",
        "1 case is without a score of b",
    )


def test_rows_with_the_same_id_are_all_compared(tmp_path: Path) -> None:
    twins = [case_result("twin", 1.0), case_result("twin", 0.0)]
    found = compare(
        write_evaluation(tmp_path / "a", twins), write_evaluation(tmp_path / "b", twins)
    )
    assert found.shared.cases == 2 and found.differences[0].value == 0


def test_settings_that_differ_are_told(tmp_path: Path) -> None:
    cases = answered(20, 0.5, 1)
    a = write_evaluation(tmp_path / "a", cases)
    settings = {"history": "gold", "generation": {"max_new_tokens": 32}}
    b = write_evaluation(tmp_path / "b", cases, settings=settings, signatures={"exact": "exact|v2"})
    assert compare(a, b).shared.notes == (
        "settings differ: history is own in a, gold in b",
        "settings differ: generation.max_new_tokens is 16 in a, 32 in b",
        "signatures differ: exact is exact in a, exact|v2 in b",
    )


def test_models_of_the_same_name_are_named_by_their_folders(tmp_path: Path) -> None:
    a, b = (write_evaluation(tmp_path / each, answered(6, 0.5, 1), name="m") for each in "ab")
    shared = compare(a, b).shared
    assert (shared.a, shared.b) == (str(a), str(b))


def test_no_shared_question_is_one_clear_error(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", [case_result("x"), case_result("z")])
    b = write_evaluation(tmp_path / "b", [case_result("y"), case_result("z", digest="other")])
    expected = "share no question with a score of both: 1 case is only in a; 1 case is only in b; 1 case is in both, but not the same question. Evaluate both"
    with pytest.raises(MMModalError, match=expected):
        compare(a, b)


def test_the_only_model_below_a_folder_is_meant(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "run" / "new", answered(6, 0.5, 1))
    assert compare(tmp_path / "run", tmp_path / "run" / "new").shared.cases == 6


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], "no folder .*a; name the `--out` of an evaluation"),
        (["a/notes.txt"], "a has no results.json; name the `--out`"),
        (["a/cases.jsonl"], "the evaluation in .*a is not finished; run its command again"),
        (
            ["a/x/results.json", "a/y/results.json"],
            "results of several models; name one of them: .*a/x, .*a/y",
        ),
        (["a/results.json"], "a has results.json and no cases.jsonl"),
    ],
)
def test_a_folder_without_results_says_what_to_do(
    tmp_path: Path, files: list[str], expected: str
) -> None:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    with pytest.raises(MMModalError, match=expected):
        compare(tmp_path / "a", tmp_path / "a")


@pytest.mark.parametrize("line", [b"{", b'{"record": "a"}', b"\xff\xfe", b"[]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    folder = write_evaluation(tmp_path / "a", answered(4, 0.5, 1))
    with (folder / "cases.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(RecordError, match=r"cases.jsonl:5: .*; evaluate the model again"):
        compare(folder, folder)


def test_values_between_right_and_wrong_are_tested_by_students_t(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    a = [case_result(str(index), float(value)) for index, value in enumerate(rng.random(30))]
    b = [case_result(str(index), float(value)) for index, value in enumerate(rng.random(30))]
    whole = compare(
        write_evaluation(tmp_path / "a", a), write_evaluation(tmp_path / "b", b)
    ).differences[0]
    assert (whole.test, whole.gained, whole.p_mcnemar, whole.method) == (
        "t",
        None,
        None,
        "t, 30 clusters",
    )
