"""`mmmodal evaluate`: what it prints and writes, and what it refuses before anything is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmmodal_datagen.replay.store import ReplayStore
from questions import conversation
from worlds import read_lines, write_lines

Run = Callable[..., tuple[int, str, str]]
SHORT = ("--max-new-tokens", 3, "--no-controls")


def results_in(folder: Path) -> dict[str, bytes]:
    """Return the files of results, without the one that says how long it took."""
    return {name: (folder / name).read_bytes() for name in ("cases.jsonl", "results.json")}


def asked(out: str) -> list[int]:
    """Return how many conversations were asked of each model, by what `--json` printed."""
    return [each["conversations_asked"] for each in json.loads(out)]


def test_a_model_is_evaluated_and_the_results_are_written(
    evaluate: Run, data: Path, start: Path, tmp_path: Path
) -> None:
    code, out, err = evaluate(start, data, *SHORT)
    assert code == 0, err
    first = out.splitlines()
    assert first[0].split() == ["SCORER", "OF", "CASES", "FIGURE", "95", "%", "INTERVAL"]
    assert first[1].split()[:3] == ["exact", "all", "16"]
    assert "16 answers" in out and f"Results: evaluation/{start.name}" in err
    cases = read_lines(tmp_path / "evaluation" / start.name / "cases.jsonl")
    assert [(case["record"], case["turn"]) for case in cases][:3] == [
        ("picture 0", 0),
        ("picture 0", 1),
        ("picture 1", 0),
    ]
    results = json.loads((tmp_path / "evaluation" / start.name / "results.json").read_text())
    assert results["figures"][0]["cases"] == 16 and results["data"]["conversations"] == 8


def test_answers_are_those_of_the_model(evaluate: Run, data: Path, start: Path, model: Any) -> None:
    from mmmodal.authoring.records import Record
    from mmmodal.authoring.training import answer_records

    assert evaluate(start, data, *SHORT, "--out", "of-model")[0] == 0
    records = [Record.model_validate(row) for row in read_lines(data)]
    said = answer_records(model, records, data.parent, max_new_tokens=3)
    cases = read_lines(Path("of-model") / start.name / "cases.jsonl")
    assert [case["answer"] for case in cases] == [text for turns in said for text in turns]


def test_a_second_run_asks_nothing_and_writes_the_same_bytes(
    evaluate: Run, data: Path, start: Path
) -> None:
    before = evaluate(start, data, *SHORT, "--json")
    first = results_in(Path("evaluation") / start.name)
    again = evaluate(start, data, *SHORT, "--json")
    assert (asked(before[1]), asked(again[1])) == ([8], [0])
    assert results_in(Path("evaluation") / start.name) == first


def test_a_second_run_loads_neither_torch_nor_the_model(
    evaluate: Run, data: Path, start: Path
) -> None:
    from fake_packages import run_python

    assert evaluate(start, data, *SHORT)[0] == 0
    words = ["evaluate", str(start), str(data), *map(str, SHORT)]
    code = f"import sys; from mmmodal.cli.main import run; print(run({words!r}), 'torch' in sys.modules)"
    ran = run_python("-c", code)
    assert ran.stdout.splitlines()[-1] == "0 False", ran.stderr


def changed_picture(model: Path, data: Path) -> None:
    (data.parent / "0.png").write_bytes((data.parent / "1.png").read_bytes())


def changed_weight(model: Path, data: Path) -> None:
    path = model / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def changed_question(model: Path, data: Path) -> None:
    text = data.read_text(encoding="utf-8").replace("clip 1: what is 1?", "clip 1: why is 1?")
    data.write_text(text, encoding="utf-8")


def changed_answer(model: Path, data: Path) -> None:
    text = data.read_text(encoding="utf-8").replace('"red"', '"blue"')
    data.write_text(text, encoding="utf-8")


def changed_template(model: Path, data: Path) -> None:
    path = model / "chat_template.jinja"
    path.write_text(path.read_text(encoding="utf-8") + "{# #}", encoding="utf-8")


def changed_name(model: Path, data: Path) -> None:
    (model / "README.md").write_text("A model.", encoding="utf-8")


CHANGES: dict[Callable[[Path, Path], None], int] = {
    changed_picture: 1,
    changed_weight: 8,
    changed_question: 1,
    changed_answer: 0,  # the model does not read it
    changed_template: 8,
    changed_name: 0,
}


@pytest.mark.parametrize(
    ("change", "again"), CHANGES.items(), ids=lambda each: getattr(each, "__name__", each)
)
def test_what_changed_is_asked_again(
    evaluate: Run, data: Path, start: Path, tmp_path: Path, change: Any, again: int
) -> None:
    model = shutil.copytree(start, tmp_path / "model")
    assert asked(evaluate(model, data, *SHORT, "--json")[1]) == [8]
    change(model, data)
    code, out, err = evaluate(model, data, *SHORT, "--json")
    assert (code, asked(out)) == (0, [again]), err


def test_a_retrained_folder_gets_no_stale_answers_and_an_old_one_its_own(
    evaluate: Run, data: Path, start: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(start, tmp_path / "model")
    evaluate(model, data, *SHORT)
    changed_weight(model, data)
    assert asked(evaluate(model, data, *SHORT, "--json")[1]) == [8]
    assert asked(evaluate(start, data, *SHORT, "--json")[1]) == [0]  # the same weights elsewhere


@pytest.mark.parametrize(
    "other",
    [
        ("--max-new-tokens", 4),
        ("--history", "gold"),
        ("--temperature", 0.7),
        ("--dtype", "bfloat16"),
    ],
    ids=str,
)
def test_other_settings_are_other_answers(
    evaluate: Run, data: Path, start: Path, other: tuple[object, ...]
) -> None:
    evaluate(start, data, *SHORT)
    assert asked(evaluate(start, data, *SHORT, *other, "--json")[1]) == [8]


def test_drawn_answers_are_the_same_again(evaluate: Run, data: Path, start: Path) -> None:
    how = (*SHORT, "--temperature", 1.5, "--batch-size", 3)
    evaluate(start, data, *how, "--out", "one")
    evaluate(start, data, *how, "--out", "two")
    assert results_in(Path("one") / start.name) == results_in(Path("two") / start.name)


def test_several_models_have_a_row_and_a_folder_each(
    evaluate: Run, data: Path, start: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(start, tmp_path / "other" / start.name)
    code, out, err = evaluate(start, other, data, *SHORT, "--rows", 2)
    assert code == 0, err
    names = sorted(path.name for path in Path("evaluation").iterdir() if path.name != "kept")
    assert len(names) == 2 and all(name.endswith(start.name) for name in names)
    assert all(name in out for name in names)


def test_a_medium_that_cannot_be_read_is_an_outcome_with_its_row(
    evaluate: Run, data: Path, start: Path
) -> None:
    (data.parent / "0.png").write_bytes(b"no picture")
    (data.parent / "1.wav").unlink()
    code, out, err = evaluate(start, data, *SHORT)
    assert code == 0, err
    assert "16 answers: 12 " in out and ", 4 failed" in out
    cases = read_lines(Path("evaluation") / start.name / "cases.jsonl")
    failed = [case for case in cases if case["outcome"] == "failed"]
    assert {case["record"] for case in failed} == {"picture 0", "clip 1"}
    assert {case["where"].rpartition(":")[2] for case in failed} == {"1", "5"}
    assert all(case["counts"] is None and case["note"] for case in failed)


def test_bad_rows_are_counted_where_the_user_says_so(
    evaluate: Run, data: Path, start: Path
) -> None:
    data.write_text("{}\n" + data.read_text(encoding="utf-8"), encoding="utf-8")
    code, _, err = evaluate(start, data, *SHORT)
    assert code == 1 and f"{data}:1" in err
    code, out, err = evaluate(start, data, *SHORT, "--skip-bad-rows")
    assert code == 0 and "1 bad row left out" in out, err


def with_expectation(**expect: Any) -> dict[str, Any]:
    row = conversation("asked", turns=1, answer=expect.pop("answer", "red"))
    row["messages"][1]["expect"] = expect
    return row


NO_ANSWER = conversation("without")
NO_ANSWER["messages"] = NO_ANSWER["messages"][:1]

REFUSED = {
    "no answer": (NO_ANSWER, ":2: it has no answer to score; add the assistant's turns"),
    "blank reference": (with_expectation(references=[" "]), "2, turn 1: its right answer is empty"),
    "unknown scorer": (with_expectation(scorer="exakt"), "unknown scorer 'exakt'. Did you mean"),
    "unknown option": (with_expectation(scorer="exact", options={"x": 1}), "'x'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_question_that_cannot_be_scored_is_refused_before_any_is_asked(
    evaluate: Run, start: Path, tmp_path: Path, case: str
) -> None:
    row, words = REFUSED[case]
    data = write_lines(tmp_path / "rows.jsonl", [conversation("good"), row])
    code, out, err = evaluate(start, data, *SHORT)
    assert (code, out) == (1, "") and words in err and f"{data}:2" in err
    assert not Path("evaluation").exists()


def test_all_problems_are_told_at_once(evaluate: Run, start: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "rows.jsonl", [row for row, _ in REFUSED.values()])
    _, _, err = evaluate(start, data, *SHORT)
    assert all(f"{data}:{line}" in err for line in range(1, 5))


WRONG = {
    "unknown scorer": (["MODEL", "DATA", "--scorer", "exat"], 1, "unknown scorer 'exat'"),
    "option of a scorer": (["MODEL", "DATA", "--set", "x=1"], 1, "'x'"),
    "no model": (["DATA"], 2, "MODEL… DATA"),
    "no such model": (["nowhere", "DATA"], 1, "nowhere"),
    "no such data": (["MODEL", "nothing.jsonl"], 1, "nothing.jsonl"),
    "one of two models": (["MODEL", "nowhere", "DATA"], 1, "nowhere"),
    "endpoint without a model": (["DATA", "--endpoint", "http://127.0.0.1:1/v1"], 2, "--model"),
    "nothing scored": (["MODEL", "UNSCORED"], 1, "no turn is scored"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_error(
    evaluate: Run, data: Path, start: Path, tmp_path: Path, case: str
) -> None:
    words, code, message = WRONG[case]
    unscored = write_lines(tmp_path / "unscored.jsonl", [with_expectation(scored=False)])
    named = {"MODEL": start, "DATA": data, "UNSCORED": unscored}
    found, out, err = evaluate(*(named.get(word, word) for word in words))
    assert (found, out) == (code, "") and message in err
    assert "Traceback" not in err and not Path("evaluation", start.name).exists()


def test_kept_answers_that_are_damaged_are_one_error(
    evaluate: Run, data: Path, start: Path
) -> None:
    kept = Path("kept-answers")
    ReplayStore(kept, writer="another").close()
    (kept / "another.sqlite").write_bytes(b"damaged " * 1000)
    code, _, err = evaluate(start, data, *SHORT, "--kept", kept)
    assert code == 1 and "another.sqlite" in err and "remove it" in err
