"""LLaVA's rows become records, and back where the format can say it."""

from __future__ import annotations

from typing import Any

import pytest

from foreign_rows import (
    LLAVA,
    read,
    refuses,
    shown,
    write,
)
from mmmodal.contracts.format import Place
from mmmodal.errors import RecordError
from mmmodal.records.detection import read_row


@pytest.mark.parametrize(
    "row",
    [
        LLAVA,
        {key: value for key, value in LLAVA.items() if key != "image"}
        | {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "x"}]},
        LLAVA
        | {
            "image": ["a.jpg", "b.jpg"],
            "conversations": [{"from": "human", "value": "<image> and <image>, <audio> is a tag"}],
            "model": "x",
            "lang": "en",
        },
    ],
    ids=["one image", "text only", "two images, more keys"],
)
def test_a_row_of_llava_comes_back_unchanged(row: dict[str, Any]) -> None:
    found, records = read_row(row, Place("f.jsonl:3", "f-3"))

    assert found.name == "llava"
    assert found.write(records, "f.jsonl:3") == row


def test_a_row_of_llava_keeps_its_id_text_and_other_keys() -> None:
    (record,) = read(LLAVA | {"id": 7, "source": "coco"})

    assert (record.id, record.meta) == ("7", {"source": "coco"})
    assert shown(record)[0] == ("user", "{coco/000000033471.jpg}\nWhat are the colors of the bus?")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, r"'images' lists 0 media, but the messages mark 1"),
        ({"image": {"bytes": None}}, r"lists 0 media, but the messages mark 1"),
        ({"image": [{"bytes": b""}]}, r"'image': give a path or a list of paths"),
        ({"conversations": [{"from": "bot", "value": "x"}]}, r"'conversations.0.from': .*'human'"),
        ({"conversations": [{"from": "human"}]}, r"'conversations.0.value' is missing"),
        ({"conversations": [{"from": "human", "value": "x", "weight": 0}]}, r"unknown key"),
        ({"audio": "a.wav"}, r"'audio' lists 1 media, but the messages mark 0"),
        (
            {"conversations": [{"from": "human", "value": "<img>a.png</img> What?"}]},
            r"'conversations.0.value': '<img>a.png</img>' holds the path of a medium",
        ),
        ({"id": [1]}, r"'id': input should be a valid string"),
    ],
)
def test_a_bad_row_of_llava_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    refuses(LLAVA | change, message)


def test_a_row_of_several_modalities_comes_back_unchanged() -> None:
    row = {
        "id": "1",
        "audio": ["b.wav", "c.wav"],
        "image": "a.png",
        "conversations": [
            {"from": "human", "value": "<audio> says, of <image>, and <audio>?"},
            {"from": "gpt", "value": "Yes."},
        ],
    }

    (record,) = read(row)

    assert shown(record)[0][1] == "{b.wav} says, of {a.png}, and {c.wav}?"
    assert write("llava", record) == row


def test_rows_of_sharegpt_with_lists_of_media_are_read() -> None:
    turns = [
        {"from": "user", "value": "<image><image>Compare with <audio>"},
        {"from": "assistant", "value": "They differ."},
    ]

    (record,) = read({"conversations": turns, "images": ["a.png", "b.png"], "audios": ["c.wav"]})

    assert shown(record)[0] == ("user", "{a.png}{b.png}Compare with {c.wav}")


def test_llava_cannot_hold_a_modality_without_a_plugin() -> None:
    (record,) = read(
        {
            "id": "1",
            "messages": [{"role": "user", "content": [{"type": "smell", "media": 0}]}],
            "media": [{"kind": "smell", "uri": "a"}],
        }
    )

    with pytest.raises(RecordError, match=r"cannot hold 'smell' \(it holds: image\)"):
        write("llava", record)


def test_a_text_that_spells_a_marker_cannot_be_written_where_markers_count() -> None:
    row = {"messages": [{"role": "user", "content": "what is <image> in HTML?"}]}
    (record,) = read(row)

    with pytest.raises(RecordError, match="a text contains a marker"):
        write("llava", record)
    assert write("openai", record)["messages"] == row["messages"]


def test_meta_that_means_something_else_in_the_other_format_is_refused() -> None:
    (record,) = read(LLAVA)

    for key in ("image", "messages", "lang"):
        with pytest.raises(RecordError, match=rf"meta\.{key} cannot be kept"):
            write("llava", record.model_copy(update={"meta": {key: "x"}}))
