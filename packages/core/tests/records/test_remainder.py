"""No row of any format is accepted with less than it says."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreign_rows import LLAVA, OPENAI, read, refuses, shown, write
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import RecordError
from mmmodal.media.limits import Limits
from mmmodal.records.detection import find_format, read_row, unused_keys

TEXT = {"role": "user", "content": "Apa?"}
REPLY = {"role": "assistant", "content": "Itu."}
PLAIN: dict[str, dict[str, Any]] = {
    "llava": {
        "conversations": [{"from": "human", "value": "Apa?"}, {"from": "gpt", "value": "Itu."}]
    },
    "native": {
        "id": "1",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Apa?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Itu."}]},
        ],
        "media": [],
    },
    "openai": {"messages": [TEXT, REPLY]},
    "paper": {"conversations": [TEXT, REPLY]},
    "alpaca": {"instruction": "Apa?", "output": "Itu."},
    "completion": {"prompt": "Apa?", "completion": "Itu."},
    "query": {"query": "Apa?", "response": "Itu."},
    "vqa": {"question": "Apa?", "answer": "Itu."},
}
"""A row of each format with the same two texts."""

READ = {("vqa", "image_path"), ("vqa", "image_paths"), ("vqa", "audio_files")}
"""The formats that read media under a key that says so, as `image_path`."""

DESCRIBED: dict[str, dict[str, Any]] = {
    "captions": {"caption": "Apa?"},
    "columns": {"told": "Apa?"},
    "transcripts": {"sentence": "Apa?"},
}
"""A row of each format whose rows must have media, without them."""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("picture", "a.png"),
        ("video", "a.mp4"),
        ("videos", ["a.mp4"]),
        ("image_path", "a"),
        ("image_paths", ["a.png", "b.png"]),
        ("audio_url", "https://example.com/a.wav"),
        ("audio_files", ["a.wav"]),
        ("files", ["a.bin"]),
        ("attachments", [{"name": "a"}]),
        ("photo", {"bytes": b"1", "path": None}),
        ("anything", {"bytes": b"1", "path": "a.png"}),
        ("anything", b"1"),
        ("anything", ["a", "b.webp"]),
        ("anything", {"deep": {"image": "a"}}),
        ("anything", "data:audio/wav;base64,AAAA"),
        ("clip", "file:///data/a.flac"),
        ("clip", "C:\\data\\a.flac"),
    ],
)
@pytest.mark.parametrize("name", PLAIN)
def test_media_under_another_key_are_read_or_the_row_is_refused(
    name: str, key: str, value: Any
) -> None:
    if (name, key) in READ:
        _, (record,) = read_row(PLAIN[name] | {key: value}, Place("a.jsonl:1", "1"))
        assert [ref.uri for ref in record.media] == ([value] if isinstance(value, str) else value)
        return
    refuses(
        PLAIN[name] | {key: value},
        rf"'{key}[\w.]*' (names|holds) a medium",
        name,
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("llava", "filename"),
        ("query", "picture"),
        ("paper", "images"),
        ("paper", "audio"),
        ("paper", "image_url"),
        ("openai", "media_files"),
        ("openai", "filename"),
        ("native", "images"),
        ("native", "image"),
    ],
)
def test_the_key_of_another_format_is_refused_by_its_name(name: str, key: str) -> None:
    refuses(PLAIN[name] | {key: ["a.png"]}, rf"'{key}\.0' names a medium \('a.png'\)", name)


def test_media_of_another_modality_beside_a_picture_are_refused() -> None:
    refuses(LLAVA | {"clip": "a.wav"}, r"'clip' names a medium \('a.wav'\) .*'llava' has media")
    refuses(LLAVA | {"audio": "a.wav"}, r"'audio' lists 1 media, but the messages mark 0")


def test_markers_whose_media_are_under_another_key_name_the_key() -> None:
    row = {key: value for key, value in LLAVA.items() if key != "image"}

    refuses(row | {"photos": ["a.png"]}, r"lists 0 media, but the messages mark 1.*; 'photos.0' na")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tools", [{"name": "f"}]),
        ("tools", '[{"name": "f"}]'),
        ("functions", [{"name": "f"}]),
        ("documents", ["a"]),
        ("chosen", [{"role": "assistant", "content": "Itu."}]),
        ("rejected", "x"),
        ("rejected_response", "x"),
        ("history", [["a", "b"]]),
        ("instruction", "Answer in Malay."),
        ("prompt", "Another question?"),
        ("system_ms", "x"),
    ],
)
@pytest.mark.parametrize("name", ["llava", "native", "openai"])
def test_a_row_that_says_more_than_its_messages_is_refused(name: str, key: str, value: Any) -> None:
    refuses(
        PLAIN[name] | {key: value},
        rf"'{key}'( is not supported| says what no message|\. Known)",
        name,
    )


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("key", ["label", "kto_tag"])
@pytest.mark.parametrize("name", PLAIN)
def test_an_answer_that_may_be_a_bad_one_is_not_learned(name: str, key: str, value: bool) -> None:
    refuses(PLAIN[name] | {key: value}, rf"'{key}' says whether the answer is good", name)


def test_a_label_that_is_a_number_or_a_word_is_kept() -> None:
    (record,) = read(PLAIN["openai"] | {"label": 1, "channel": "chat", "solution": "4"})

    assert record.meta == {"label": 1, "channel": "chat", "solution": "4"}


BOXES = {"ref": ["a dog"], "bbox": [[331.5, 761.4, 853.5, 1594.8]]}


@pytest.mark.parametrize(
    "objects",
    [BOXES, json.dumps(BOXES), [{"caption": "a dog", "bbox": [1, 2, 3, 4]}], {"bbox": []}],
)
@pytest.mark.parametrize("text", ["<bbox>", "<ref-object>", "a dog<bbox>, <ref-object>"])
@pytest.mark.parametrize("name", ["openai", "query", "llava"])
def test_boxes_that_a_text_stands_in_for_are_not_lost(name: str, text: str, objects: Any) -> None:
    row = json.loads(json.dumps(PLAIN[name]).replace("Itu.", text))

    refuses(row | {"objects": objects}, r"'objects' holds what <(bbox|ref-object)> stands", name)
    assert shown(read(row, name)[0])[1] == ("assistant", text)


def test_boxes_that_no_text_refers_to_are_kept() -> None:
    assert read(PLAIN["openai"] | {"objects": BOXES})[0].meta == {"objects": BOXES}


@pytest.mark.parametrize(
    "more",
    [
        {"source": "coco", "image_id": 7, "score": 0.5, "tags": ["a"], "url": "https://x.org/page"},
        {"prompt": "Apa?", "tools": [], "photos": None, "video": "", "files": [], "rejected": None},
        {"completion": " Itu. ", "tools": "[]", "num_images": 0, "has_image": False},
    ],
)
@pytest.mark.parametrize("name", ["llava", "openai", "paper"])
def test_other_keys_are_kept_and_counted(name: str, more: dict[str, Any]) -> None:
    row = PLAIN[name] | more

    (record,) = read(row, name)

    assert record.meta is not None
    assert {key: record.meta[key] for key in more} == more
    given = {key for key, value in more.items() if value is not None}
    assert set(unused_keys(row, find_format(name))) == given


def test_what_the_records_hold_already_may_stand_under_another_key() -> None:
    again = {"image_path": LLAVA["image"], "photos": [{"path": LLAVA["image"]}]}

    (record,) = read(LLAVA | again)

    assert record.meta == again


def test_meta_of_our_own_rows_is_passed_through_unread() -> None:
    meta = {"images": ["a.png"], "system": "s", "tools": [1], "blob": "data:image/png;base64,AA"}
    row = PLAIN["native"] | {"meta": meta}

    (record,) = read(row)

    assert record.meta == meta
    assert read(write("native", record)) == [record]


@pytest.mark.parametrize("key", ["images", "system", "tools", "photo_path", "prompt"])
@pytest.mark.parametrize("name", ["llava", "openai", "paper"])
def test_meta_that_another_format_would_read_is_not_written_in_it(name: str, key: str) -> None:
    (record,) = read(PLAIN["native"] | {"meta": {key: ["a.png"]}})

    with pytest.raises(RecordError, match=rf"meta\.{key} cannot be kept"):
        write(name, record)


# System prompts


@pytest.mark.parametrize("key", ["system", "system_prompt", "systemMessage"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_system_prompt_of_its_own_becomes_the_system_turn(name: str, key: str) -> None:
    row = PLAIN[name] | {key: "Be brief."}

    (record,) = read(row, name)

    assert shown(record) == [("system", "Be brief."), ("user", "Apa?"), ("assistant", "Itu.")]
    assert key not in (record.meta or {})
    assert unused_keys(row, find_format(name)) == ()


def test_an_empty_system_prompt_is_none() -> None:
    assert shown(read(PLAIN["openai"] | {"system": " "})[0])[0][0] == "user"


def test_a_system_prompt_that_is_given_twice_must_be_the_same() -> None:
    (record,) = read(OPENAI | {"system": "Be brief."})

    assert record == read(OPENAI)[0]
    refuses(OPENAI | {"system": "Be long."}, r"'system' and the system turn differ; keep one")
    refuses(
        PLAIN["openai"] | {"system": "a", "system_prompt": "b"},
        r"'system' and 'system_prompt' differ",
    )


def test_a_system_prompt_must_be_a_text_and_each_language_needs_its_own() -> None:
    refuses(PLAIN["openai"] | {"system": ["a"]}, r"'system' must be a text")
    turns = [TEXT | {"content_ms": "Apa?"}, REPLY | {"content_ms": "Itu."}]
    refuses({"conversations": turns, "system": "a"}, r"'system': each language needs its own")


# Every medium of a random row is in its record, in its place, or the row is refused

KEYS = (
    "image images audio audios video videos media files filename photo image_url audio_path "
    "attachments source meta extra image_1 thumbnail"
)
NAMES = st.sampled_from(KEYS.split())
COUNTER = itertools.count()


@st.composite
def medium(draw: st.DrawFn) -> Any:
    """Draw the name of a new file in one of the shapes that rows have."""
    uri = f"{next(COUNTER)}.{draw(st.sampled_from(['png', 'JPG', 'wav', 'mp3', 'mp4']))}"
    shapes = [uri, {"path": uri, "bytes": None}, {"path": "x", "bytes": uri.encode()}, {"url": uri}]
    return draw(st.sampled_from(shapes))


@st.composite
def rows(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw a row of a format with media, markers and parts anywhere."""
    name = draw(st.sampled_from([*PLAIN, *DESCRIBED]))
    text = "".join(draw(st.lists(st.sampled_from(["<image>", "<audio>", "a"]), max_size=3)))
    plain = {**PLAIN, **DESCRIBED}[name]
    row: dict[str, Any] = {key: value for key, value in plain.items() if key != "media"}
    if name in DESCRIBED or name in ("alpaca", "completion", "query", "vqa"):
        first = next(iter(row))
        row |= {first: f"{text}?"}
        row |= draw(st.dictionaries(st.sampled_from(["image", "audio"]), medium(), max_size=1))
    elif name == "llava":
        row["conversations"] = [{"from": "human", "value": f"{text}?"}]
    elif name == "paper":
        row["conversations"] = [{"role": "user", "content": f"{text}?"}]
    elif name == "openai" and draw(st.booleans()):
        row["messages"] = [{"role": "user", "content": f"{text}?"}]
    else:
        parts = draw(st.lists(part(), max_size=3))
        row["messages"] = [{"role": "user", "content": [{"type": "text", "text": "?"}, *parts]}]
    media = medium() | st.lists(medium(), max_size=2) | st.just({"deep": draw(medium())})
    return name, row | draw(st.dictionaries(NAMES, media, max_size=2))


@st.composite
def part(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["image", "audio"]))
    keys = [kind, "path", "url", f"{kind}_url", "text", "media", "thumbnail"]
    return {"type": kind} | draw(st.dictionaries(st.sampled_from(keys), medium(), max_size=2))


def paths_in(value: Any) -> list[str]:
    """Return the files that a row names or holds, in its order."""
    if isinstance(value, str):
        return [value] if value[:1].isdigit() and "." in value else []
    if isinstance(value, bytes):
        return [value.decode()]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [path for each in inner for path in paths_in(each)]


@settings(max_examples=400, deadline=None)
@given(drawn=rows(), named=st.booleans())
def test_every_medium_of_a_random_row_is_in_its_record_or_the_row_is_refused(
    drawn: tuple[str, dict[str, Any]], named: bool
) -> None:
    name, row = drawn
    try:
        records = read_row(row, Place("f.jsonl:3", "f-3"), of_format(name, row) if named else None)[
            1
        ]
    except RecordError as error:
        assert str(error).startswith("f.jsonl:3: ")
        return

    for record in records:
        assert sorted(map(medium_of, record.media)) == sorted(paths_in(row))
        assert in_place(record) == [*map(medium_of, record.media)]


def medium_of(ref: MediaRef) -> str:
    """Return the path of a medium; of one that the row holds, its bytes, which are a path here."""
    return ref.held.read_bytes(Limits()).decode() if ref.held else ref.uri


def of_format(name: str, row: dict[str, Any]) -> Format:
    """Return a format; that of columns knows the media of a row."""
    media = {kind: kind for kind in ("image", "audio") if kind in row}
    return find_format(name, {"columns": {"answer": "told", **media}} if name == "columns" else {})


def in_place(record: Record) -> list[str]:
    """Return the media in the order of the parts that show them."""
    parts = [part for message in record.messages for part in message.content]
    return [medium_of(record.media[part.media]) for part in parts if part.media is not None]


def test_the_rows_of_the_property_test_are_not_all_refused() -> None:
    rows_read = [
        {"image": "0.png", **PLAIN["llava"]},
        {"messages": [{"role": "user", "content": "<image>?"}], "images": [{"path": "0.png"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "url": "0.png"}]}]},
        {"image": {"bytes": b"0.png", "path": "x"}, **PLAIN["llava"]},
    ]
    rows_read[3]["conversations"] = [{"from": "human", "value": "<image>?"}]
    rows_read[0]["conversations"] = [{"from": "human", "value": "<image>?"}]

    assert [[*map(medium_of, read(row)[0].media)] for row in rows_read] == [["0.png"]] * 4


def test_read_row_is_the_only_road() -> None:
    """A format that is given is checked as one that is found."""
    with pytest.raises(RecordError, match="names a medium"):
        read_row(PLAIN["openai"] | {"photo": "a"}, Place("x", "x"), find_format("openai"))
