"""The paper's rows become records, and back where the format can say it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from foreign_rows import (
    AUDIOS,
    CHAT,
    EXAMPLES,
    MIXED,
    SESSION,
    read,
    refuses,
    shown,
    write,
)
from mmmodal.contracts.format import Place
from mmmodal.errors import RecordError
from mmmodal.records.detection import find_format, read_row


@pytest.mark.parametrize("row", EXAMPLES, ids=["2", "3", "4.1", "4.2", "4.3", "4.4"])
def test_a_row_of_the_paper_comes_back_unchanged(row: dict[str, Any]) -> None:
    before = copy.deepcopy(row)
    found, records = read_row(row, Place("f.jsonl:3", "f-3"))

    assert found.name == "paper"
    assert all(found.joins(records[:i], record) for i, record in enumerate(records) if i)
    assert found.write(records, "f.jsonl:3") == row == before


@pytest.mark.parametrize("row", EXAMPLES, ids=["2", "3", "4.1", "4.2", "4.3", "4.4"])
def test_a_row_of_the_paper_survives_the_native_format(row: dict[str, Any]) -> None:
    native = [json.loads(json.dumps(write("native", record))) for record in read(row)]

    assert [record for each in native for record in read(each)] == read(row)


def test_a_bilingual_row_gives_a_record_for_each_language() -> None:
    english, malay = read(CHAT)

    assert (english.id, english.lang, english.group) == ("f-3-en", "en", "f-3")
    assert (malay.id, malay.lang, malay.group) == ("f-3-ms", "ms", "f-3")
    assert shown(english)[2] == ("user", CHAT["chat"][2]["content"])
    assert shown(malay)[2] == ("user", CHAT["chat"][2]["content_ms"])
    assert english.media == malay.media
    assert english.meta is not None and english.meta["context"] == CHAT["context"]


def test_media_without_markers_come_before_the_first_question_as_the_paper_prepares_them() -> None:
    question = MIXED["instruction"]

    record, _ = read(MIXED)
    prepared = {
        "filename": MIXED["filename"],
        "conversations": [
            {"role": "user", "content": f"<audio> <image> {question}"},
            {"role": "assistant", "content": MIXED["answer"]},
        ],
    }

    assert [ref.kind for ref in record.media] == ["audio", "image"]
    assert (
        shown(record)[0][1] == f"{{{MIXED['filename'][0]}}} {{{MIXED['filename'][1]}}} {question}"
    )
    assert read(prepared)[0].messages == record.messages


def test_markers_tell_the_modality_whatever_the_file_is_called() -> None:
    row = {
        "filename": ["a.jpg", "b"],
        "conversations": [{"role": "user", "content": "<audio>x<image>"}],
    }

    assert [(ref.kind, ref.uri) for ref in read(row)[0].media] == [
        ("audio", "a.jpg"),
        ("image", "b"),
    ]


def test_markers_in_several_turns_take_the_files_in_order() -> None:
    (record,) = read(SESSION)

    holders = [
        (index, part.media)
        for index, message in enumerate(record.messages)
        for part in message.content
        if part.media is not None
    ]
    assert holders == [(0, 0), (6, 1), (8, 2), (10, 3)]
    assert [ref.uri for ref in record.media] == SESSION["filename"]


def test_an_end_marker_belongs_to_the_begin_marker_before_it() -> None:
    row = {
        "filename": ["a"],
        "conversations": [{"role": "user", "content": "<image> </image>x </image>"}],
    }

    assert shown(read(row)[0]) == [("user", "{a}x </image>")]


def test_one_language_of_a_bilingual_row_is_written_alone() -> None:
    _, malay = read(MIXED)

    row = write("paper", malay)
    (again,) = read(row)

    assert row["instruction"] == MIXED["instruction_ms"]
    assert (row["lang"], row["group"]) == ("ms", "f-3")
    assert (shown(again), again.lang, again.group) == (shown(malay), "ms", "f-3")


def test_languages_of_different_rows_are_not_joined() -> None:
    paper = find_format("paper")
    english, malay = read(CHAT)
    other = read_row(CHAT, Place("f.jsonl:4", "f-4"))[1][1]

    assert paper.joins([english], malay)
    assert not paper.joins([english], other)
    assert not paper.joins([malay], english)
    assert not paper.joins([english, malay], malay)


def test_languages_that_show_media_in_another_order_are_not_joined() -> None:
    english, malay = read(AUDIOS)
    question = malay.messages[0]
    swapped = question.model_copy(update={"content": question.content[::-1]})
    reordered = malay.model_copy(update={"messages": (swapped, *malay.messages[1:])})

    assert find_format("paper").joins([english], malay)
    assert not find_format("paper").joins([english], reordered)


USER = {"role": "user", "content": "<image>x"}
REPLY = {"role": "assistant", "content": "y"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"filename": ["a", "b"], "conversations": [USER, REPLY]},
            r"the row lists 2 media, but its text marks 1 \(<image>\)",
        ),
        ({"conversations": [USER, REPLY]}, r"the row lists 0 media, but its text marks 1"),
        (
            {"image": "a", "conversations": [{"role": "user", "content": "<audio>x"}]},
            r"marker 1 is <audio>, but its medium 'a' is given as image",
        ),
        (
            {"image": "a", "filename": "b", "conversations": [USER]},
            r"media are listed under 'filename' and 'image'; keep one",
        ),
        (
            {"filename": "a", "chat": [USER], "conversations": [USER]},
            r"a row must have one of .*; it has 'chat' and 'conversations'",
        ),
        (
            {"filename": "a.bin", "chat": [{"role": "user", "content": "x"}]},
            r"'a.bin' has no marker in the text, and its suffix is unknown; write <audio> or <image>",
        ),
        (
            {"filename": "a", "chat": [USER, REPLY | {"content": "<image>"}]},
            r"'chat.1.content': <image> marks a medium in a turn of role 'assistant'",
        ),
        (
            {"filename": "a", "chat": [USER | {"content_ms": "<image>x"}, REPLY]},
            r"'chat.1.content_ms' is missing, but other turns have a translation",
        ),
        (
            {"filename": ["a.mp3"], "instruction": "x", "answer": "y", "answer_ms": "z"},
            r"'instruction_ms' is missing, but",
        ),
        (
            {
                "filename": ["a", "b"],
                "chat": [
                    {"role": "user", "content": "<image><audio>", "content_ms": "<audio><image>"}
                ],
            },
            r"the languages mark media in different orders",
        ),
        ({"filename": 5, "conversations": [USER]}, r"'filename': give a path or a list of paths"),
        (
            {"filename": ["a", None], "conversations": [USER]},
            r"'filename': one of its media is null",
        ),
        (
            {"conversations": [USER | {"content": None}]},
            r"'conversations.0.content': .* valid string",
        ),
        (
            {"conversations": [USER | {"content": ["a"]}]},
            r"'conversations.0.content': .* valid string",
        ),
        ({"conversations": [USER | {"weight": 0}]}, r"unknown key 'conversations.0.weight'"),
        ({"image": "a", "conversations": [REPLY, USER]}, r"a user turn must come before it"),
    ],
)
def test_a_bad_row_of_the_paper_says_what_is_wrong(row: dict[str, Any], message: str) -> None:
    refuses(row, message)


def test_what_the_paper_remembers_in_meta_must_be_its_own() -> None:
    (record,) = read(SESSION)

    with pytest.raises(RecordError, match=r"meta\.paper_form is reserved for this format"):
        write("paper", record.model_copy(update={"meta": {"paper_form": 5}}))
