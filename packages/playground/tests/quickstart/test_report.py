"""The report shows what was measured and said, as text, and is whole in one file."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mmmodal_playground.quickstart.report import Shown, write_report
from mmmodal_playground.records import make_records
from pages import Page

VOID = {"circle", "img", "line", "link", "meta", "path", "rect", "use"}
TASKS = {
    f"{task}-{language}": {
        "accuracy": accuracy,
        "low": accuracy - 0.02,
        "high": accuracy + 0.01,
        "n": 400,
        "conversations": 200,
        "majority": 0.4,
        "shuffled": 0.35,
        "stage1": 0.5,
    }
    for task, accuracy in {
        "image": 0.98,
        "audio": 0.95,
        "image-audio": 0.92,
        "recall": 0.87,
    }.items()
    for language in ("en", "ms")
}
CURVE = [{"step": 5 * n, "loss": 2.0 / n, "learning_rate": 1e-3} for n in range(1, 20)]
CURVES = {"align": [*CURVE, {"step": 95, "train_runtime": 60.0}], "instruct": CURVE}


@pytest.fixture
def shown(tmp_path: Path) -> list[Shown]:
    """Conversations with only right answers."""
    root = tmp_path / "world"
    lines = make_records(root, 12, split="test").read_text(encoding="utf-8").splitlines()
    return [Shown(row, root, answers_of(row)) for row in map(json.loads, lines)]


def answers_of(row: dict[str, Any]) -> list[str]:
    said = (message for message in row["messages"] if message["role"] == "assistant")
    return ["".join(part["text"] for part in message["content"]) for message in said]


def answering(shown: Shown, turn: int, answer: str) -> Shown:
    answers = list(shown.answers)
    answers[turn] = answer
    return dataclasses.replace(shown, answers=answers)


def written(folder: Path, conversations: list[Shown], **changed: Any) -> Page:
    given: dict[str, Any] = {
        "results": {"tasks": TASKS, "seconds": 372.0, "seed": 0},
        "curves": CURVES,
        "facts": {"Seed": "0", "Versions": "mmmodal 0.1.0"},
        "quality": {"siglip": {"retrieval-en": 0.98}},
        "command": "mmmodal chat quickstart/model",
    }
    path = folder / "report.html"
    write_report(path, conversations=conversations, **(given | changed))
    return Page(path.read_text(encoding="utf-8"), VOID)


def test_report_loads_nothing_from_elsewhere(tmp_path: Path, shown: list[Shown]) -> None:
    page = written(tmp_path, shown)
    loaded = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
    ]
    assert loaded
    assert all(value.startswith(("data:", "#")) for value in loaded)
    assert not page.all("script")
    assert not re.search(r"https?:|@import|url\((?!#)", page.text)
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none';")


def test_every_element_is_closed_and_every_drawing_is_xml(
    tmp_path: Path, shown: list[Shown]
) -> None:
    page = written(tmp_path, shown)
    assert page.open == []
    found = drawings(page.text)
    assert len(found) > 30
    for drawing in found:
        ElementTree.fromstring(drawing)


def drawings(text: str) -> list[str]:
    """Return every drawing that is not part of another."""
    found, depth, start = [], 0, 0
    for tag in re.finditer(r"<svg\b|</svg>", text):
        start = start if depth else tag.start()
        depth += 1 if tag[0] == "<svg" else -1
        if not depth:
            found.append(text[start : tag.end()])
    return found


def test_every_task_has_its_row(tmp_path: Path, shown: list[Shown]) -> None:
    page = written(tmp_path, shown)
    rows = {row["data-task"]: row for row in page.all("tr") if "data-task" in row}
    assert set(rows) == {*TASKS, "mean"}
    low = {task for task, row in rows.items() if "low" in row["class"].split()}
    assert low == {"recall-en", "recall-ms"}
    assert page.text.count("below 90") == 2


def test_what_is_just_below_the_target_does_not_look_as_if_it_reached_it(tmp_path: Path) -> None:
    tasks = {"image-en": {**TASKS["image-en"], "accuracy": 530 / 589, "stage1": 0.57}}
    text = written(tmp_path, [], results={"tasks": tasks, "seconds": 1.0, "seed": 0}).text
    assert "90.0<" not in text
    assert text.count("below 90</span>89.9<") == 2  # the task's row and the mean's
    assert ">57.0<" in text


def test_the_headline_is_the_mean_and_names_the_hardest_task(
    tmp_path: Path, shown: list[Shown]
) -> None:
    text = written(tmp_path, shown).text
    assert '<h1><span class="number">93.0<' in text
    assert "87.0&thinsp;%<small>Recall, English</small>" in text
    assert "6&thinsp;min 12&thinsp;s" in text


def test_the_interval_is_a_line_behind_the_mark_and_is_told(tmp_path: Path) -> None:
    row = {**TASKS["image-en"], "low": 0.951, "high": 0.993}
    page = written(tmp_path, [], results={"tasks": {"image-en": row}, "seconds": 1.0, "seed": 0})
    (line,) = (line for line in page.all("line") if line.get("class") == "whisker")
    assert (line["x1"], line["x2"]) == ("95.10%", "99.30%")
    assert ", between 95.1 and 99.3<" in page.text
    few = {**row, "low": None, "high": None}
    page = written(tmp_path, [], results={"tasks": {"image-en": few}, "seconds": 1.0, "seed": 0})
    assert "whisker" not in {line.get("class") for line in page.all("line")}


def test_the_report_of_the_evaluation_is_linked_if_there_is_one(tmp_path: Path) -> None:
    assert not written(tmp_path, []).all("a")
    (link,) = written(tmp_path, [], evaluation="evaluation/model/report.html").all("a")
    assert link["href"] == "evaluation/model/report.html"


def test_a_wrong_answer_is_shown_beside_the_right_one(tmp_path: Path, shown: list[Shown]) -> None:
    before = written(tmp_path, [shown[0]])
    wrong = written(tmp_path, [answering(shown[0], 0, "certainly not")])
    assert "right answer" not in before.text
    assert "certainly not</p>" in wrong.text
    assert (
        f'right answer: </span><b class="expected" dir="auto">{shown[0].answers[0]}<' in wrong.text
    )
    assert wrong.text.count("</svg>wrong<") == 1
    number = len(shown[0].answers)
    assert f"{number - 1} of {number} right" in wrong.text


def test_an_answer_is_right_as_it_is_scored(tmp_path: Path, shown: list[Shown]) -> None:
    answer = shown[0].answers[0].upper() + "."
    assert "right answer" not in written(tmp_path, [answering(shown[0], 0, answer)]).text


def test_media_stand_where_they_come_in(tmp_path: Path, shown: list[Shown]) -> None:
    page = written(tmp_path, shown)
    for tag, kind in (("img", "image"), ("audio", "audio")):
        media = [medium for one in shown for medium in one.record["media"]]
        assert len(page.all(tag)) == sum(medium["kind"] == kind for medium in media)
    assert all(picture["alt"] for picture in page.all("img"))
    assert all("controls" in sound and sound["aria-label"] for sound in page.all("audio"))
    asked = [message for one in shown for message in one.record["messages"][::2]]
    assert places(page) == [part["type"] for message in asked for part in message["content"]]


def places(page: Page) -> list[str]:
    """Return what stands in the bubbles of questions, in order."""
    found, inside = [], False
    for tag, attributes in page.tags:
        if tag == "li":
            inside = "asked" in attributes.get("class", "")
        elif inside and tag in ("p", "figure"):
            found.append(attributes.get("class", "text"))
    return found


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=f()>', "&lt;"]
)
def test_markup_in_an_answer_is_text(tmp_path: Path, shown: list[Shown], hostile: str) -> None:
    harmless = written(tmp_path, [answering(shown[0], 0, "wrong")])
    page = written(tmp_path, [answering(shown[0], 0, hostile)])
    assert page.tags == harmless.tags
    assert hostile not in page.text


def test_markup_in_a_record_is_text(tmp_path: Path, shown: list[Shown]) -> None:
    bad = "\"'><script>f()</script>"
    record = json.loads(json.dumps(shown[0].record))
    record["lang"] = bad
    record["meta"]["task"] = bad
    for message in record["messages"]:
        for part in message["content"]:
            part.update({"text": bad} if part["type"] == "text" else {})
    tasks = {f"{bad}-{bad}": TASKS["image-en"]}
    page = written(
        tmp_path,
        [dataclasses.replace(shown[0], record=record)],
        results={"tasks": tasks, "seconds": 1.0, "seed": 0},
        facts={bad: bad},
        quality={bad: {bad: 1.0}},
        command=bad,
    )
    assert not page.all("script")
    assert "<script" not in page.text
    assert page.open == []


def test_half_a_character_does_not_lose_the_report(tmp_path: Path, shown: list[Shown]) -> None:
    assert "odd ? answer" in written(tmp_path, [answering(shown[0], 0, "odd \ud83d answer")]).text


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 5, "loss": 0.5}],
        [{"step": 0, "loss": 1.0}],
        [{"step": 5, "loss": 0.0}, {"step": 10, "loss": 0.0}],
        [{"step": 5, "loss": float("nan")}, {"step": 10, "train_loss": 1.0}],
        [{"step": n, "loss": 3.0 / n} for n in range(1, 5000)],
    ],
)
def test_any_curve_can_be_drawn(
    tmp_path: Path, shown: list[Shown], rows: list[dict[str, Any]]
) -> None:
    text = written(tmp_path, [], curves={"align": rows}).text
    for drawing in re.findall(r'<svg class="curve".*?</svg>', text, re.DOTALL):
        root = ElementTree.fromstring(drawing)
        assert "nan" not in drawing
        assert len(root.findall("path")) in (0, 1)
    assert ("no loss was logged" in text.partition("Stage 2")[0]) == (
        not any(row.get("loss", float("nan")) >= 0 for row in rows)
    )


def test_a_failed_report_leaves_the_one_before(
    tmp_path: Path, shown: list[Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = written(tmp_path, shown)

    def refuse(*paths: Path) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        written(tmp_path, [])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page.text
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]
