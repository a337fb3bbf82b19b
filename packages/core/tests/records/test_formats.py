"""Rows of other formats become records, and back where the format can say it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_packages import install, run_python
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import find_format, formats, read_row
from worlds import PAPER_EXAMPLES, read_lines

EXAMPLES = read_lines(PAPER_EXAMPLES)
"""The rows that the paper prints: sections 2, 3, 4.1, 4.2, 4.3 and 4.4."""

CHAT, MOTORCYCLE, PICTURES, AUDIOS, MIXED, SESSION = EXAMPLES


def read(row: Any, name: str | None = None) -> list[Record]:
    return read_row(row, Place("f.jsonl:3", "f-3"), find_format(name) if name else None)[1]


def write(name: str, *records: Record) -> dict[str, Any]:
    return find_format(name).write(records, "f.jsonl:3")


def shown(record: Record) -> list[tuple[str, str]]:
    """Return each message as one text, with media as `{uri}`."""
    return [
        (
            message.role,
            "".join(
                f"{{{record.media[part.media].uri}}}" if part.media is not None else str(part.text)
                for part in message.content
            ),
        )
        for message in record.messages
    ]


def refuses(row: Any, message: str, name: str | None = None) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        read(row, name)
    assert str(caught.value).startswith("f.jsonl:3: ")
    assert "\n" not in str(caught.value)


# The paper's rows


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
            r"turns are under .*; this row has 'chat' and 'conversations'",
        ),
        (
            {"filename": "a.bin", "chat": [{"role": "user", "content": "x"}]},
            r"'a.bin' is neither marked in the text nor known by its ending; write <audio> or <image>",
        ),
        (
            {"filename": "a", "chat": [USER, REPLY | {"content": "<image>"}]},
            r"'chat.1.content': <image> marks a medium in a turn of role 'assistant'",
        ),
        (
            {"filename": "a", "chat": [USER | {"content_ms": "<image>x"}, REPLY]},
            r"'chat.1.content_ms' is missing, though other turns have their translation",
        ),
        (
            {"filename": ["a.mp3"], "instruction": "x", "answer": "y", "answer_ms": "z"},
            r"'instruction_ms' is missing, though",
        ),
        (
            {
                "filename": ["a", "b"],
                "chat": [
                    {"role": "user", "content": "<image><audio>", "content_ms": "<audio><image>"}
                ],
            },
            r"the languages mark media of different kinds",
        ),
        ({"filename": 5, "conversations": [USER]}, r"'filename': give a path or a list of paths"),
        ({"filename": ["a", None], "conversations": [USER]}, r"'filename': give a path or a list"),
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

    with pytest.raises(RecordError, match=r"meta\.paper_form is what this format remembers"):
        write("paper", record.model_copy(update={"meta": {"paper_form": 5}}))


# LLaVA's rows

LLAVA = {
    "id": "000000033471",
    "image": "coco/000000033471.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat are the colors of the bus?"},
        {"from": "gpt", "value": "The bus is white and red."},
    ],
}


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
        ({"image": None}, r"the row lists 0 media, but its text marks 1"),
        ({"image": {"bytes": b"x"}}, r"'image': embedded images are not read"),
        ({"conversations": [{"from": "bot", "value": "x"}]}, r"'conversations.0.from': .*'human'"),
        ({"conversations": [{"from": "human"}]}, r"'conversations.0.value' is missing"),
        ({"conversations": [{"from": "human", "value": "x", "weight": 0}]}, r"unknown key"),
        ({"id": [1]}, r"'id': input should be a valid string"),
    ],
)
def test_a_bad_row_of_llava_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    refuses(LLAVA | change, message)


def test_llava_cannot_hold_audio() -> None:
    (record,) = read(SESSION)

    with pytest.raises(
        RecordError, match=r"f.jsonl:3: this format cannot hold 'audio' \(it holds: image\)"
    ):
        write("llava", record)


def test_a_text_that_spells_a_marker_cannot_be_written_where_markers_count() -> None:
    row = {"messages": [{"role": "user", "content": "what is <image> in HTML?"}]}
    (record,) = read(row)

    with pytest.raises(RecordError, match="a text spells a marker"):
        write("llava", record)
    assert write("openai", record)["messages"] == row["messages"]


def test_meta_that_means_something_else_in_the_other_format_is_refused() -> None:
    (record,) = read(LLAVA)

    for key in ("image", "messages", "lang"):
        with pytest.raises(RecordError, match=rf"meta\.{key} cannot be kept"):
            write("llava", record.model_copy(update={"meta": {key: "x"}}))


# OpenAI messages

OPENAI: dict[str, Any] = {
    "id": "1",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Compare"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            ],
        },
        {"role": "assistant", "content": "They differ."},
    ],
}


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
        (part(type="image_url", image_url=5), r"has 'image_url': \{\"url\": \"…\"\}"),
        (part(type="input_audio", input_audio={"data": "x"}), r"has 'input_audio': .*\"format\""),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            r"'messages.0': its role is .* got 'tool'",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": None},
                ]
            },
            r"'messages.1': its content is a text or a list of parts",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "weight": 0}]},
            r"'messages.0': only role and content are understood, not 'weight'",
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


# All formats


def test_a_row_of_no_known_format_is_told_what_rows_look_like() -> None:
    refuses(
        {"prompt": "x", "reply": "y"},
        r"no known format has its keys \('prompt', 'reply'\). .*llava: ",
    )
    refuses([1], r"a row is a JSON object \{…\}, got list")


def test_a_format_can_be_named_and_a_wrong_name_is_told_what_was_meant() -> None:
    refuses(LLAVA, r"'conversations.0.role' is missing", "paper")
    with pytest.raises(ConfigError, match="unknown format 'llama'. Did you mean 'llava'"):
        find_format("llama")


def test_a_row_that_two_formats_claim_must_be_named() -> None:
    row = LLAVA | {"messages": OPENAI["messages"]}

    refuses(row, r"it may be llava and openai; say which with --format")


def test_columns_that_hold_json_as_text_are_opened() -> None:
    row = {**LLAVA, "conversations": json.dumps(LLAVA["conversations"])}

    assert read(row) == read(LLAVA)
    refuses({**LLAVA, "conversations": "[{"}, r"'conversations': not valid JSON")


def test_a_format_is_added_by_adding_a_file(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(
        "from mmmodal.contracts.format import Format\n"
        "class Shout(Format):\n"
        "    name = 'shout'; shape = '`shout`'; structured = ()\n"
        "    def matches(self, row): return 'shout' in row\n"
        "    def read(self, row, place): return []\n"
        "    def write(self, records, where): return {}\n"
        "FORMAT = Shout()\n"
    )
    script = (
        "import mmmodal.records.formats\n"
        f"mmmodal.records.formats.__path__.append({str(tmp_path)!r})\n"
        "from mmmodal.contracts.format import Place\n"
        "from mmmodal.records.detection import formats, read_row\n"
        "print(*formats(), read_row({'shout': 1}, Place('x', 'x'))[0].name)"
    )

    result = run_python("-c", script)

    assert result.stdout.split() == ["llava", "native", "openai", "paper", "shout", "shout"], (
        result.stderr
    )


def test_markers_of_a_modality_that_a_plugin_brings_are_understood(tmp_path: Path) -> None:
    install(
        tmp_path,
        "mmmodal-smell",
        "import mmmodal\n"
        "class Smell(mmmodal.Modality):\n"
        "    name = 'smell'; begin = '[sniff]'\n"
        "    def read(self, source, limits): ...\n"
        "@mmmodal.hookimpl\n"
        "def mmmodal_modalities(): return [Smell]\n",
    )
    script = (
        "from mmmodal.contracts.format import Place\n"
        "from mmmodal.records.detection import read_row\n"
        "row = {'id': '1', 'filename': ['a', 'b'], 'conversations':"
        " [{'role': 'user', 'content': '[sniff]<image>x'}]}\n"
        "format, records = read_row(row, Place('x', 'x'))\n"
        "print([ref.kind for ref in records[0].media], format.write(records, 'x') == row)"
    )

    result = run_python("-c", script, path=tmp_path)

    assert result.stdout == "['smell', 'image'] True\n", result.stderr


def test_each_format_describes_itself_under_the_name_of_its_file() -> None:
    assert list(formats()) == ["llava", "native", "openai", "paper"]
    assert all(each.shape for each in formats().values())


GOOD_ROWS = [*EXAMPLES, LLAVA, OPENAI, write("native", *read(SESSION))]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["<image>", "[", '[{"role": 1}]', "\ud800", "user", "image", "a.mp3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "from", "value", "media", "\ud800"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@st.composite
def damaged_rows(draw: st.DrawFn) -> Any:
    """Draw a good row in which something is replaced, removed, repeated or added."""
    row = copy.deepcopy(draw(st.sampled_from(GOOD_ROWS)))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = row
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.booleans()):
                holder = holder[key]
                continue
            action = draw(st.sampled_from(["replace", "remove", "repeat", "add"]))
            if action == "remove":
                del holder[key]
            elif action == "replace":
                holder[key] = draw(JUNK)
            elif isinstance(holder, dict):
                holder[
                    draw(st.sampled_from(["media", "image", "chat", "messages", "id", "meta"]))
                ] = draw(JUNK)
            else:
                holder.append(draw(JUNK) if action == "add" else copy.deepcopy(holder[key]))
            break
    return row


@settings(max_examples=300, deadline=None)
@given(row=damaged_rows() | JUNK, name=st.sampled_from([None, None, None, *formats()]))
def test_a_damaged_row_is_a_record_or_a_record_error(row: Any, name: str | None) -> None:
    try:
        records = read(row, name)
    except RecordError as error:
        assert str(error).startswith("f.jsonl:3: ")
        str(error).encode("utf-8")
        assert len(str(error)) < 3000
    else:
        assert all(isinstance(record, Record) for record in records)
