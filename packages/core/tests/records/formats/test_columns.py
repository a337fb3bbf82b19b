"""Any table becomes records by options that say which columns hold what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foreign_rows import shown
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.dataset import read_records
from mmmodal.records.detection import find_format, read_row
from mmmodal.samples.dataset import open_files
from mmmodal.train.recipe.recipe import load_recipe
from worlds import write_lines

ROW = {"clip": "a.wav", "pic": "a.png", "also": "b.png", "name": "Ali", "city": "Ipoh", "n": 3}


def read(options: dict[str, Any], row: dict[str, Any] | None = None) -> Record:
    (record,) = read_row(row or ROW, Place("f:3", "f-3"), find_format("columns", options))[1]
    return record


REST = {"ignore": ["clip", "pic", "also"]}


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        (
            {"columns": {"audio": "clip", "answer": "name"}},
            [("user", "{a.wav}Describe the audio."), ("assistant", "Ali")],
        ),
        (
            {"columns": {"image": ["also", "pic"], "answer": "n", "question": "city"}},
            [("user", "{b.png}{a.png}Ipoh"), ("assistant", "3")],
        ),
        (
            {
                "columns": {"image": "pic", "audio": "clip"},
                "question": "Who?",
                "answer": "{name}, {city}",
            },
            [("user", "{a.png}{a.wav}Who?"), ("assistant", "Ali, Ipoh")],
        ),
        (
            {
                "columns": {},
                "question": "Is {name} {{here}}?",
                "answer": "Yes.",
                "system": "Brief.",
            },
            [("system", "Brief."), ("user", "Is Ali {here}?"), ("assistant", "Yes.")],
        ),
        (
            {
                "columns": {"answer": "n", "system": "city"},
                "question": "?",
                "choices": ["a", "b", "c", "d"],
            },
            [
                ("system", "Ipoh"),
                ("user", "?\nA. a\nB. b\nC. c\nD. d\nAnswer with the letter of your choice."),
                ("assistant", "D"),
            ],
        ),
    ],
)
def test_columns_become_a_record(options: dict[str, Any], turns: list[tuple[str, str]]) -> None:
    assert shown(read(options | REST)) == turns


def test_id_language_and_group_come_from_columns_or_options() -> None:
    columns = {"answer": "name", "id": "n", "lang": "code", "group": "city", "audio": "clip"}
    row = {**ROW, "code": "ms", "id": "no"}

    record = read({"columns": columns, "lang": "en", **REST}, row)

    assert (record.id, record.lang, record.group) == ("3", "ms", "Ipoh")
    assert shown(record)[0][1] == "{a.wav}Terangkan audio ini."
    assert record.meta == {"pic": "a.png", "also": "b.png", "id": "no"}
    assert read({"columns": {"answer": "name"}, "question": "?", "lang": "en", **REST}).lang == "en"


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({}, ["'columns' is missing"]),
        (
            {"columns": {"imag": "a", "id": ["a", "b"]}, "question": "{", "lang": "x"},
            [
                "'imag' is neither a modality nor a text. Did you mean 'image'?",
                "'id' takes one column",
                "there is no answer; name its column as columns.answer",
                "a brace is open",
            ],
        ),
        (
            {"columns": {"answer": "a", "question": "b"}, "question": "?", "answer": "{}"},
            ["'question' and columns.question are given", "'answer' and", "{} must hold the name"],
        ),
        ({"columns": {"answer": "a"}, "quesion": "?"}, ["'quesion'. Did you mean 'question'?"]),
    ],
)
def test_wrong_options_are_told_all_at_once(options: dict[str, Any], reasons: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        find_format("columns", options)

    assert all(reason in str(caught.value) for reason in reasons), str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": {"audio": "clap", "answer": "nam"}},
            r"f:3: no column 'clap'. Did you mean 'clip'\?; no column 'nam'. Did you mean 'name'",
        ),
        ({"columns": {"audio": "none", "answer": "name"}}, r"'none' has no value"),
        ({"columns": {"audio": "hollow", "answer": "name"}}, r"'hollow' has no value"),
        ({"columns": {"audio": "n", "answer": "name"}}, r"'n': give a path or a list of paths"),
        ({"columns": {"image": "pic", "answer": "list"}}, r"'answer' must be a text or a number"),
        ({"columns": {"answer": "name"}}, r"there is no question; name its column"),
        ({"columns": {"image": "pic", "answer": "name"}, "ignore": []}, r"'clip' names a medium"),
        (
            {"columns": {"answer": "n"}, "question": "?", "choices": ["a", "b"]},
            r"3 is none of the 2",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    row = {**ROW, "none": None, "hollow": {"bytes": None, "path": None}, "list": ["a"]}

    with pytest.raises(RecordError, match=message):
        read(REST | options, row)


def test_a_recipe_takes_the_options_beside_the_format(tmp_path: Path) -> None:
    rows = [{"clip": f"{index}.wav", "said": f"word {index}"} for index in range(20)]
    path = write_lines(tmp_path / "a.jsonl", rows)
    entry = (
        f"data=[{{path: {path}, format: columns, columns: {{audio: clip, answer: said}}, "
        "question: ['What is said?', 'Apa yang dikatakan?'], lang: ms}]"
    )

    recipe = load_recipe("align", ["model=m", "out=o", entry])
    (dataset,) = open_files(recipe.data)

    records = [record for _, record in (dataset[index] for index in range(20))]
    assert {shown(each)[0][1].partition("}")[2] for each in records} == {
        "What is said?",
        "Apa yang dikatakan?",
    }
    assert all(each.lang == "ms" for each in records)
    noted = recipe.data[0].summary()
    assert isinstance(noted, dict) and noted["columns"] == {"audio": "clip", "answer": "said"}
    assert type(recipe.data[0]).model_validate(noted) == recipe.data[0]
    form = find_format("columns", recipe.data[0].options)
    assert [each for _, each in read_records(path, format=form)] == records


def test_a_recipe_tells_wrong_options_with_the_other_errors() -> None:
    data = (
        "data=[{path: a, format: columns, colums: {a: b}, weight: 0}, {path: b, question: x}, "
        "{path: c, format: captions, seed: x}]"
    )

    with pytest.raises(ConfigError) as caught:
        load_recipe("align", ["model=m", "out=o", data])

    told = "\n".join(caught.value.problems)
    assert "unknown key 'data.0.colums'. Did you mean 'columns'?" in told
    assert "'data.0.columns' is missing" in told and "'data.0.weight'" in told
    assert "'data.1.question': it is an option of a format; set `format` (" in told
    assert "captions, columns" in told  # other packages may bring formats with such an option
    assert "'data.2.seed': input should be a valid integer" in told
