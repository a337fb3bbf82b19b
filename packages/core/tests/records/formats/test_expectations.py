"""What rows of any format say of how their answers are scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foreign_rows import CHAT, read, refuses, shown, write
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Expectation
from mmmodal.errors import RecordError
from mmmodal.records.dataset import read_records
from mmmodal.records.detection import find_format, read_row
from mmmodal.records.writing import write_records

HUMAN, GPT = {"role": "user", "content": "What?"}, {"role": "assistant", "content": "Dog."}
ASK_IMAGE = {"role": "user", "content": "<image>What?"}
ASKED_LLAVA, SAID_LLAVA = {"from": "human", "value": "What?"}, {"from": "gpt", "value": "2"}
QUESTION = {"image": "a.png", "question": "What?"}


def test_several_captions_are_references_of_one_record_where_the_user_says_so() -> None:
    row = {"id": "7", "image": "a.png", "captions": ["One.", "Two."]}

    _, (record,) = read_row(
        row, Place("x", "x"), find_format("captions", {"several": "references"})
    )

    assert (record.id, record.group, shown(record)[1][1]) == ("7", None, "One.")
    assert record.messages[-1].expect == Expectation(references=("One.", "Two."))


VOTES = [{"answer": text, "answer_id": number} for number, text in enumerate(["a", "b", "b"])]
CHOOSE = {"image": "a.png", "question": "Which?", "choices": ["red", "blue"]}


@pytest.mark.parametrize(
    ("row", "expect"),
    [
        (QUESTION | {"answer": "a"}, None),
        (QUESTION | {"answers": ["a"]}, None),
        (QUESTION | {"answers": ["a", "b", "b"]}, {"references": ("a", "b", "b")}),
        (QUESTION | {"answer": ["a", "b"]}, {"references": ("a", "b")}),
        (QUESTION | {"answers": VOTES}, {"references": ("a", "b", "b")}),
        (
            QUESTION | {"multiple_choice_answer": "b", "answers": VOTES},
            {"references": ("a", "b", "b")},
        ),
        # Here, nobody knows what `answers` are.
        (QUESTION | {"answer": "a", "answers": ["a", "b"]}, None),
        (
            CHOOSE | {"answer": "B"},
            {"scorer": "choice", "choices": ("red", "blue"), "references": ("blue",)},
        ),
        (
            CHOOSE | {"answer": 0, "choices": ["B", "A"]},
            {"scorer": "choice", "choices": ("B", "A"), "references": ("B",)},
        ),
        (
            CHOOSE | {"answer": 1, "choices": ["red", "red"]},
            {"scorer": "choice", "choices": ("red", "red"), "references": ("B",)},
        ),
        (
            CHOOSE | {"answer": "B", "expect": {"tags": ["hue"], "scorer": "exact"}},
            {
                "scorer": "exact",
                "choices": ("red", "blue"),
                "references": ("blue",),
                "tags": ("hue",),
            },
        ),
    ],
)
def test_several_answers_and_choices_say_how_an_answer_is_scored(
    row: dict[str, Any], expect: dict[str, Any] | None
) -> None:
    (record,) = read(row)

    assert record.messages[-1].expect == (expect and Expectation(**expect))


EXPECT = {"scorer": "number", "options": {"absolute": 1}, "tags": ["count"]}


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png", "question": "How many?", "answer": "2", "expect": EXPECT},
        {"image": "a.png", "caption": "2", "expect": EXPECT},
        {"audio": "a.wav", "sentence": "2", "expect": EXPECT},
        {"query": "x", "response": "2", "expect": EXPECT},
        {"instruction": "x", "output": "2", "expect": EXPECT},
        {"prompt": "x", "completion": "2", "expect": EXPECT},
        {"instruction": "x", "answer": "2", "expect": EXPECT},
        {"messages": [HUMAN, GPT], "expect": EXPECT},
        {"messages": [HUMAN, GPT | {"expect": EXPECT | {"references": None}}]},
        {"images": ["a.png"], "messages": [ASK_IMAGE, GPT | {"expect": EXPECT}]},
        {"conversations": [ASKED_LLAVA, SAID_LLAVA | {"expect": EXPECT}]},
        {"conversations": [ASKED_LLAVA, SAID_LLAVA], "expect": EXPECT},
    ],
)
def test_a_row_of_any_format_says_how_its_answer_is_scored(row: dict[str, Any]) -> None:
    (record,) = read(row | {"cluster": 12})

    assert record.messages[-1].expect == Expectation(**EXPECT)
    assert record.cluster == "12"
    assert not {"expect", "cluster"} & (record.meta or {}).keys()


def test_the_columns_of_a_table_say_how_its_answers_are_scored() -> None:
    form = find_format(
        "columns", {"columns": {"answer": "said", "cluster": "scene"}, "question": "?"}
    )
    row = {"said": "2", "scene": 7, "expect": EXPECT}

    _, (record,) = read_row(row, Place("x", "x"), form)

    assert record.messages[-1].expect == Expectation(**EXPECT)
    assert (record.cluster, record.meta) == ("7", None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [HUMAN | {"expect": EXPECT}, GPT]}, r"put it on an assistant turn"),
        ({"messages": [HUMAN], "expect": EXPECT}, r"put it on an assistant turn"),
        ({"messages": [HUMAN, GPT | {"expect": EXPECT}], "expect": EXPECT}, r"keep one"),
        (
            {"messages": [HUMAN, GPT | {"expect": {"scoer": "wer"}}]},
            r"scoer'. Did you mean 'scorer'",
        ),
        ({"image": "a.png", "caption": "2", "expect": "wer"}, r"'expect'"),
        ({"image": "a.png", "caption": "2", "cluster": ["a"]}, r"'cluster'"),
    ],
)
def test_a_wrong_expectation_is_refused(row: dict[str, Any], message: str) -> None:
    refuses(row, message)


def test_the_versions_of_a_row_are_joined_where_they_are_scored_alike() -> None:
    english, malay = read(CHAT | {"expect": EXPECT, "cluster": "c"})
    paper = find_format("paper")

    assert paper.joins([english], malay)
    assert paper.write([english, malay], "row") == CHAT | {"expect": EXPECT, "cluster": "c"}
    assert not paper.joins([english], malay.model_copy(update={"cluster": "d"}))
    assert not paper.joins([english], read(CHAT)[1].model_copy(update={"cluster": "c"}))


def test_a_format_with_one_expectation_refuses_that_of_an_earlier_turn() -> None:
    turns = [HUMAN, GPT | {"expect": EXPECT}, HUMAN, GPT]
    (record,) = read({"messages": turns})

    with pytest.raises(RecordError, match=r"can only say how the last answer is scored"):
        write("paper", record)
    assert read(write("openai", record)) == read(write("llava", record)) == [record]


def test_null_counts_as_absent_as_in_tables() -> None:
    told = {"scorer": "wer", "scored": None, "references": None, "options": {"a": None, "b": 1}}

    assert Expectation.model_validate(told) == Expectation(scorer="wer", options={"b": 1})


def test_a_saved_table_and_a_shard_keep_how_answers_are_scored(tmp_path: Path) -> None:
    import datasets

    (tmp_path / "a.png").write_bytes(b"a picture")
    expects = [EXPECT, {"scorer": "wer", "options": {"unit": "word"}}, None]
    found = [
        read(QUESTION | {"id": str(number), "answer": "2", "expect": expect, "cluster": "c"})[0]
        for number, expect in enumerate(expects)
    ]
    rows = [json.loads(json.dumps(write("native", record))) for record in found]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    write_records(found, tmp_path / "a.tar", media="embed")

    assert [record for _, record in read_records(tmp_path / "saved")] == found
    for (_, record), given in zip(read_records(tmp_path / "a.tar"), found, strict=True):
        assert record.messages[-1].expect == given.messages[-1].expect
        assert record.cluster == "c"
