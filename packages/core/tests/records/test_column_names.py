"""Rows whose columns and tags have other names, by the options of their formats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from foreign_rows import shown
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import find_format, read_row

PLACE = Place("f.jsonl:3", "f-3")
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
ASKED = [("user", "{a.png}What?"), ("assistant", "Dog.")]
TALK = [{"who": "Q", "says": "<image>What?"}, {"who": "A", "says": "Dog."}]
TAGS = {"role_tag": "who", "content_tag": "says", "user_tag": "Q", "assistant_tag": "A"}


def read(name: str, options: dict[str, Any], row: dict[str, Any]) -> Record:
    (record,) = read_row(row, PLACE, find_format(name, options))[1]
    return record


@pytest.mark.parametrize(
    ("name", "options", "row", "turns", "meta"),
    [
        (
            "llava",
            {"columns": {"messages": "messages", "images": "images"}, "tags": OPENAI_TAGS},
            {
                "messages": [
                    {"content": "<image>What?", "role": "user"},
                    {"content": "Dog.", "role": "assistant"},
                ],
                "images": ["a.png"],
            },
            ASKED,
            None,
        ),
        (
            "llava",
            {"columns": {"messages": "talk", "images": "pics", "system": "rules"}, "tags": TAGS},
            {"talk": TALK, "pics": ["a.png"], "rules": "Be brief.", "source": "x"},
            [("system", "Be brief."), *ASKED],
            {"source": "x"},
        ),
        (
            "llava",
            {"columns": {"messages": "talk", "tools": "tools"}, "tags": TAGS},
            {"talk": json.dumps(TALK), "image": "a.png", "tools": "[]", "rules": "x"},
            ASKED,
            {"tools": "[]", "rules": "x"},
        ),
        (
            "llava",
            {"columns": {"audios": "sounds"}},
            {
                "conversations": [
                    {"from": "system", "value": "s"},
                    {"from": "human", "value": "<audio><image>?"},
                    {"from": "gpt", "value": "x"},
                ],
                "sounds": [{"path": "b.wav", "bytes": None}],
                "images": ["a.png"],
            },
            [("system", "s"), ("user", "{b.wav}{a.png}?"), ("assistant", "x")],
            None,
        ),
        (
            "alpaca",
            {"columns": {"prompt": "question", "response": "answer", "images": "image"}},
            {"question": "What?", "answer": "Dog.", "image": "a.png"},
            ASKED,
            None,
        ),
        (
            "alpaca",
            {"columns": {"prompt": "input", "response": "target"}},
            {"kind": "riddle", "input": "What?", "target": "Dog."},
            [("user", "What?"), ("assistant", "Dog.")],
            {"kind": "riddle"},
        ),
        (
            "alpaca",
            {
                "columns": {
                    "prompt": "ask",
                    "query": "more",
                    "response": "said",
                    "history": "before",
                    "system": "system_prompt",
                    "images": "pics",
                }
            },
            {
                "ask": "Look:",
                "more": "<image>?",
                "said": "Dog.",
                "before": [["Hi", "Hello"]],
                "system_prompt": "Be brief.",
                "pics": ["a.png"],
            },
            [
                ("system", "Be brief."),
                ("user", "Hi"),
                ("assistant", "Hello"),
                ("user", "Look:\n{a.png}?"),
                ("assistant", "Dog."),
            ],
            None,
        ),
        (
            "query",
            {"columns": {"query": "problem", "response": "solution", "images": "picture"}},
            {"problem": "What?", "solution": "Dog.", "picture": "a.png"},
            ASKED,
            None,
        ),
    ],
)
def test_columns_of_other_names_are_read(
    name: str,
    options: dict[str, Any],
    row: dict[str, Any],
    turns: list[tuple[str, str]],
    meta: dict[str, Any] | None,
) -> None:
    record = read(name, options, row)

    assert shown(record) == turns
    assert record.meta == meta


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("llava", {"columns": {"chosen": "good"}}, r"'chosen' is not supported, as preferences"),
        ("alpaca", {"columns": {"kto_tag": "label"}}, r"'kto_tag' is not supported, as every"),
        ("llava", {"columns": {"mesages": "talk"}}, r"unknown key 'mesages'. Did you mean 'mes"),
        ("alpaca", {"columns": {"messages": "talk"}}, r"unknown key 'messages'. Did you mean"),
        ("llava", {"columns": {"messages": "a", "images": "a"}}, r"'messages' has the column 'a'"),
        ("llava", {"tags": {"role": "who"}}, r"unknown key 'tags.role'. Did you mean 'role_tag'"),
        ("alpaca", {"tags": {"role_tag": "who"}}, r"unknown key 'tags'"),
    ],
)
def test_names_that_are_not_known_are_told(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        find_format(name, options)


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        ({"tools": "skills"}, {"skills": [{"name": "f"}]}, r"'skills' holds tools, which are not"),
        ({"videos": "films"}, {"films": ["a"]}, r"'films' holds videos, which no installed"),
        ({"images": "pics"}, {"images": ["b.png"]}, r"'images.0' names a medium \('b.png'\)"),
        ({"images": "photos"}, {}, r"'images' lists 0 media, but the messages mark 1"),
        ({"system": "rules"}, {"rules": ["a"]}, r"'rules' must be a text, the system prompt"),
        ({}, {"talk": []}, r"'talk' must be a list of turns, with at least one"),
        ({}, {"talk": "[{"}, r"'talk': not valid JSON"),
        ({}, {"talk": [{"who": "Q"}]}, r"'talk.0.says' is missing"),
        ({}, {"talk": ["Hi"]}, r"'talk.0' must be an object of 'who' and 'says'"),
        ({}, {"talk": [{"who": "X", "says": "a"}]}, r"'talk.0.who': it must be 'Q', 'A' or 'sys"),
        (
            {},
            {"talk": [*TALK, {"who": "observation", "says": "3"}]},
            r"'talk.2.who' is 'observation', a call of a tool or its result",
        ),
        (
            {},
            {"talk": [*TALK, {"who": "function_call", "says": "f"}]},
            r"'talk.2.who' is 'function_call', a call of a tool",
        ),
        (
            {"system": "rules"},
            {"rules": "a", "talk": [{"who": "system", "says": "b"}, *TALK]},
            r"'rules' and the system turn differ",
        ),
        ({}, {"kto_tag": False}, r"'kto_tag' says whether the answer is good"),
        ({}, {"rejected": {"who": "A", "says": "Cat."}}, r"'rejected' says what no message says"),
    ],
)
def test_what_named_columns_cannot_say_is_refused(
    columns: dict[str, str], change: dict[str, Any], message: str
) -> None:
    options = {"columns": {"messages": "talk", "images": "pics", **columns}, "tags": TAGS}

    with pytest.raises(RecordError, match=message):
        read("llava", options, {"talk": TALK, "pics": ["a.png"], **change})


def test_rows_of_named_columns_come_back_unchanged() -> None:
    form = find_format("llava", {"columns": {"messages": "talk", "images": "pics"}, "tags": TAGS})
    row = {"id": "1", "pics": "a.png", "talk": TALK, "source": "x"}

    assert form.write(read_row(row, PLACE, form)[1], "f.jsonl:3") == row
