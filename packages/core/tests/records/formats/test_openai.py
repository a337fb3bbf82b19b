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
            {"messages": [{"role": "user", "content": "x", "name": "a"}]},
            r"'messages.0': only role and content are supported, not 'name'",
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


PNG = {"kind": "image", "uri": "a.png"}
MP3 = {"kind": "audio", "uri": "a.mp3"}


@pytest.mark.parametrize(
    ("values", "medium"),
    [
        ({"type": "image", "image": "a.png"}, PNG),
        ({"type": "image", "path": "a.png"}, PNG),
        ({"type": "image", "url": "a.png"}, PNG),
        ({"type": "image", "image_url": "a.png"}, PNG),
        ({"type": "image", "image_url": {"url": "a.png", "detail": "high"}}, PNG),
        ({"type": "image", "image": {"path": "a.png", "bytes": None}}, PNG),
        ({"type": "image", "image": "a.png", "path": "a.png", "text": None, "index": None}, PNG),
        ({"type": "image_url", "image_url": "a.png"}, PNG),
        (
            {"type": "image", "image": "file:///x/a.png"},
            {"kind": "image", "uri": "/x/a.png"},
        ),
        (
            {"type": "image", "image": "data:image/png;base64,AAAA"},
            {"kind": "image", "uri": "data:image/png;base64,AAAA"},
        ),
        (
            {"type": "image", "base64": "AAAA"},
            {"kind": "image", "uri": "data:application/octet-stream;base64,AAAA"},
        ),
        ({"type": "audio", "audio": "a.mp3"}, MP3),
        ({"type": "audio", "audio_url": "a.mp3"}, MP3),
        ({"type": "audio_url", "audio_url": {"url": "a.mp3"}}, MP3),
        ({"type": "audio", "path": "a.mp3"}, MP3),
    ],
)
@pytest.mark.parametrize("row_id", [None, "7"])
def test_a_part_may_hold_its_medium_in_any_form_that_chat_templates_take(
    values: dict[str, Any], medium: dict[str, str], row_id: str | None
) -> None:
    parts = [values, {"type": "text", "text": "Apa?"}]
    row = {"id": row_id, "messages": [{"role": "user", "content": parts}]}

    (record,) = read(row)

    assert [(ref.kind, ref.uri) for ref in record.media] == [(medium["kind"], medium["uri"])]
    assert [part.type for part in record.messages[0].content] == [medium["kind"], "text"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "image"}, r"a part of type 'image' has no medium; set 'image', or list it under"),
        ({"type": "image", "image": 5}, r"must have 'image': a path or URI"),
        ({"type": "image", "image": {"bytes": b""}}, r"'messages.0': give a path"),
        ({"type": "image", "image": {"a": 1}}, r"'messages.0': give a path"),
        ({"type": "image", "image": "a.png", "path": "b.png"}, r"'path' of a part .* is not read"),
        ({"type": "image", "image": "a.png", "text": "b"}, r"'text' of a part .* is not read"),
        ({"type": "image", "image": "a.png", "min_pixels": 9}, r"'min_pixels' of a part"),
        ({"type": "text", "text": "x", "image": "a.png"}, r"'image' of a part of type 'text'"),
        ({"type": "video", "video": "a.mp4"}, r"a part of type 'video'"),
        ({"type": "tool_use", "name": "f"}, r"a part of type 'tool_use'"),
    ],
)
def test_a_part_that_says_more_than_is_read_is_refused(
    values: dict[str, Any], message: str
) -> None:
    refuses({"messages": [{"role": "user", "content": [values]}]}, message)


def said(*content: Any, **beside: Any) -> dict[str, Any]:
    """Return a row with user turns of some contents, and with media beside the messages."""
    turns = [
        {"role": role, "content": each}
        for each in content
        for role, each in (("user", each), ("assistant", "Itu."))
    ]
    return {"messages": turns, **beside}


HERE, TOO = {"type": "image"}, {"type": "text", "text": "Apa?"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (said([HERE, TOO], images=["a"]), ["{a}Apa?"]),
        (said([HERE, TOO], image="a"), ["{a}Apa?"]),
        (said([HERE, TOO], images=[{"path": "a", "bytes": None}]), ["{a}Apa?"]),
        (said([TOO, HERE], [HERE, TOO], images=["a", "b"]), ["Apa?{a}", "{b}Apa?"]),
        (said([HERE, {"type": "audio"}, HERE], images=["a", "b"], audios=["c"]), ["{a}{c}{b}"]),
        (said([HERE | {"index": 1}, HERE | {"index": 0}], images=["a", "b"]), ["{b}{a}"]),
        (said([HERE | {"index": 0}], [HERE | {"index": 0}], images=["a"]), ["{a}", "{a}"]),
        (said([HERE, TOO | {"text": "<image>"}], images=["a"]), ["{a}<image>"]),
        (said([{"type": "image", "image": "a"}, TOO], images=["a"]), ["{a}Apa?"]),
        (said("<image>Apa?", images=["a"]), ["{a}Apa?"]),
        (said("Apa <image></image>?", image="a"), ["Apa {a}?"]),
        (said("<image><image>", "<image>?", images=["a", "b", "c"]), ["{a}{b}", "{c}?"]),
        (said("<audio><image>", images=["a"], audio=["b"]), ["{b}{a}"]),
        (said([TOO | {"text": "<image>?"}], images=["a"]), ["{a}?"]),
        (said("Apa?", images=[]), ["Apa?"]),
        (said("Apa?", image="", audio={"bytes": None, "path": None}), ["Apa?"]),
        (said("Apa <image>?"), ["Apa <image>?"]),
        (said("<image>?", images=["a"], image=["a"]), ["{a}?"]),
    ],
)
@pytest.mark.parametrize("row_id", [None, "7"])
def test_media_beside_the_messages_are_where_the_messages_mark_them(
    row: dict[str, Any], expected: list[str], row_id: str | None
) -> None:
    found, (record,) = read_row(row | {"id": row_id}, Place("f.jsonl:3", "f-3"))

    assert found.name == "openai"
    assert [text for role, text in shown(record) if role == "user"] == expected
    assert record.meta is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            said("Apa?", images=["a"]),
            r"'images' lists 1 media, but the messages mark 0; mark .*<image>",
        ),
        (said("<image>", images=["a", "b"]), r"'images' lists 2 media, but the messages mark 1"),
        (said("<image><image>", images=["a"]), r"'images' lists 1 media, but the messages mark 2"),
        (said("<image>", images=[]), r"'images' lists 0 media, but the messages mark 1"),
        (said("<image>", audios=["a"]), r"'audios' lists 1 media, but the messages mark 0"),
        (said("<image><audio>", images=["a"]), r"'audios' lists 0 media, but the messages mark 1"),
        (said([HERE], images=["a", "b"]), r"'images' lists 2 media, but the messages mark 1"),
        (said([HERE, HERE], images=["a"]), r"has the index 1, from 0, but 'images' lists 1"),
        (said([HERE | {"index": 4}], images=["a"]), r"has the index 4, from 0, but"),
        (said([HERE | {"index": "0"}], images=["a"]), r"has the index '0'"),
        (said([HERE], audios=["a"]), r"has no medium; set 'image', or list it under 'images'"),
        (said([HERE], images=["a"], audios=["b"]), r"'audios' lists 1 media"),
        (said([{"type": "image", "image": "a"}], images=["b"]), r"'images' lists 1 media"),
        (said("<image>", images=["a"], image="b"), r"under 'images' and 'image'; keep one"),
        (said("<image>", images=[{"bytes": b""}]), r"'images': give a path or a list of paths"),
        (said("x", images=[{"bytes": b"x"}]), r"'images' lists 1 media, but the messages mark 0"),
        (said("<image>", images=[None]), r"'images': one of its media is null; leave it out"),
        (said("<image>", images=[5]), r"'images': give a path or a list of paths"),
        (said("<image>", images={"a": 1}), r"'images': give a path or a list of paths"),
        (
            {
                "messages": [{"role": "system", "content": "<image>"}, *said("x")["messages"]],
                "images": [],
            },
            r"'messages.0': <image> marks a medium in a turn of role 'system'",
        ),
    ],
)
def test_lists_that_the_messages_do_not_mark_exactly_are_refused(
    row: dict[str, Any], message: str
) -> None:
    refuses(row, message)
