"""OpenAI messages become records, and back where the format can say it."""

from __future__ import annotations

from typing import Any

import pytest

from foreign_rows import (
    OPENAI,
    SESSION,
    read,
    refuses,
    shown,
    write,
)
from mmmodal.contracts.format import Place
from mmmodal.records.detection import read_row


def test_openai_messages_come_back_unchanged_with_their_urls() -> None:
    found, records = read_row(OPENAI, Place("f.jsonl:3", "f-3"))

    assert found.name == "openai"
    assert [(ref.kind, ref.uri) for ref in records[0].media] == [
        ("image", "https://example.com/a.png"),
        ("image", "data:image/png;base64,AAAA"),
        ("audio", "data:audio/wav;base64,UklG"),
    ]
    assert found.write(records, "f.jsonl:3") == OPENAI


def test_openai_messages_without_an_id_are_named_after_their_row() -> None:
    messages = [
        {"role": "developer", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    ]

    (record,) = read({"messages": messages})

    assert record.id == "f-3"
    assert shown(record) == [("system", "s"), ("user", "x")]


def test_a_sound_file_is_written_as_a_url_and_data_as_input_audio() -> None:
    (record,) = read(SESSION)
    mp3 = record.media[0].model_copy(update={"uri": "data:audio/mpeg;base64,AAAA"})

    paths = write("openai", record)["messages"][0]["content"]
    data = write("openai", record.model_copy(update={"media": (mp3, *record.media[1:])}))

    assert paths[0] == {"type": "audio_url", "audio_url": {"url": SESSION["filename"][0]}}
    assert shown(read({"messages": [{"role": "user", "content": paths}]})[0])[0][1].startswith(
        "{/home"
    )
    assert data["messages"][0]["content"][0] == {
        "type": "input_audio",
        "input_audio": {"data": "AAAA", "format": "mp3"},
    }


def part(**values: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, values]}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (part(type="image_ur", image_url="x"), r"'image_ur'. Did you mean 'image_url'\?"),
        (part(type="video_url", video_url="x"), r"'messages.0': a part of type 'video_url'"),
        (part(type="image_url", image_url=5), r"must have 'image_url': \{\"url\": \"…\"\}"),
        (
            part(type="input_audio", input_audio={"data": "x"}),
            r"must have 'input_audio': .*\"format\"",
        ),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            r"'messages.0': its role must be .* got 'tool'",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": None},
                ]
            },
            r"'messages.1': its content must be a text or a list of parts",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "weight": 0}]},
            r"'messages.0': only role and content are supported, not 'weight'",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    OPENAI["messages"][1] | {"role": "assistant"},
                ]
            },
            r"turn 2 \(assistant\): it holds a medium \(image\)",
        ),
    ],
)
def test_bad_openai_messages_say_what_is_wrong(row: dict[str, Any], message: str) -> None:
    refuses(row, message)
