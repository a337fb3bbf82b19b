"""Records: what they refuse, and that they come back from a file as they were."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.dataset import read_records
from mmmodal.records.detection import find_format, read_row
from mmmodal.records.writing import write_records

PLAIN = st.text(max_size=20) | st.sampled_from(["\x85\u2028", "\n", "😀", "\0", "[", "<b>"])
TEXTS = PLAIN | st.sampled_from(["<image>", "a <audio></audio> b", "</image>"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KINDS = ("image", "audio")
SEVERAL = st.lists(st.text(max_size=5), max_size=2)
OPTIONS = st.dictionaries(
    st.text(max_size=5), JSON.filter(lambda value: value is not None), max_size=2
)
EXPECTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "scored": st.booleans(),
        "scorer": st.sampled_from(["exact", "wer"]),
        "options": OPTIONS,
        "references": SEVERAL,
        "choices": SEVERAL,
        "tags": SEVERAL,
    },
)
"""How an answer is scored, in all that can be said of it."""


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Draw a record that reading accepts: any media, in any order, used once or more."""
    texts = draw(st.sampled_from([PLAIN, TEXTS]))
    kinds = draw(st.lists(st.sampled_from(draw(st.sampled_from([KINDS, KINDS[:1]]))), max_size=4))
    media = [{"kind": kind, "uri": f"media/{i} ü.bin"} for i, kind in enumerate(kinds)]
    shown = list(range(len(kinds)))
    if shown:
        shown = draw(st.permutations(shown)) + draw(st.lists(st.sampled_from(shown), max_size=2))
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": [text_part(draw(words(texts)))]})
    for index in range(draw(st.integers(1, 3))):
        content = [
            text_part(draw(words(texts))),
            *map(text_part, draw(st.lists(texts, max_size=2))),
        ]
        taken, shown = (shown, []) if index == 0 else (shown[:1], shown[1:])
        for medium in taken:
            part = {"type": kinds[medium], "media": medium}
            content.insert(draw(st.integers(0, len(content))), part)
        messages.append({"role": "user", "content": content})
        answer: dict[str, Any] = {"content": [text_part(draw(words(texts)))]}
        expect = draw(st.none() | EXPECTATIONS)
        messages.append({"role": "assistant", "expect": expect, **answer})
    return Record.model_validate(
        {
            "id": draw(TEXTS),
            "messages": messages[: len(messages) - draw(st.integers(0, 1))],
            "media": media,
            "lang": draw(st.none() | st.sampled_from(["en", "ms"])),
            "group": draw(st.none() | TEXTS),
            "cluster": draw(st.none() | TEXTS),
            "meta": draw(
                st.none() | st.dictionaries(st.text(max_size=8), JSON, min_size=1, max_size=3)
            ),
        }
    )


def words(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda word, more: word + more, st.sampled_from(["a", "Apa ini?"]), texts)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@settings(max_examples=80, deadline=None)
@given(drawn=st.lists(records(), min_size=1, max_size=3))
def test_records_come_back_from_a_file_as_they_were(ending: str, drawn: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"records{ending}"

        assert write_records(drawn, path) == len(drawn)

        assert [record for _, record in read_records(path, format="native")] == drawn


@settings(max_examples=100, deadline=None)
@given(record=records())
def test_a_native_row_is_recognised_unless_it_cannot_be_told_apart(record: Record) -> None:
    native = find_format("native")
    row = json.loads(json.dumps(native.write([record], "row")))

    found, read = read_row(row, Place("row", "none"))

    assert (found.name, read) == ("native", [record])


@pytest.mark.parametrize("name", ["llava", "paper", "openai"])
@settings(max_examples=100, deadline=None)
@given(record=records())
def test_what_another_format_writes_it_reads_back_and_the_rest_it_refuses(
    name: str, record: Record
) -> None:
    try:
        row = find_format(name).write([record], "row 1")
    except RecordError as error:
        assert str(error).startswith("row 1: ")
        return

    found, (read,) = read_row(json.loads(json.dumps(row)), Place("row 1", "none"))

    assert found.name == name
    assert said(read) == said(record)
    assert about(read) == about(record)


def about(record: Record) -> list[Any]:
    """Return what a record says besides its turns."""
    expected = [message.expect for message in record.messages]
    return [record.id, record.lang, record.group, record.cluster, record.meta, expected]


def said(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return who says and shows what, however it is cut into parts."""
    turns: list[tuple[str, list[tuple[str, str]]]] = []
    for message in record.messages:
        parts: list[tuple[str, str]] = []
        for part in message.content:
            if part.media is not None:
                parts.append((part.type, record.media[part.media].uri))
            elif parts and parts[-1][0] == "text":
                parts[-1] = ("text", parts[-1][1] + str(part.text))
            elif part.text:
                parts.append(("text", part.text))
        turns.append((message.role, parts))
    return turns


USER = {
    "role": "user",
    "content": [{"type": "image", "media": 0}, {"type": "text", "text": "Apa?"}],
}
REPLY = {"role": "assistant", "content": [{"type": "text", "text": "Kucing."}]}
ROW = {"id": "1", "messages": [USER, REPLY], "media": [{"kind": "image", "uri": "a.jpg"}]}


def turn(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


IMAGE = {"type": "image", "media": 0}
TEXT = {"type": "text", "text": "x"}
TWO = [{"kind": "image", "uri": "a.jpg"}, {"kind": "image", "uri": "b.jpg"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, r"'id' is missing"),
        ({"id": 1}, r"'id': input should be a valid string \(got 1\)"),
        ({"extra": 1}, r"unknown key 'extra'"),
        ({"messages": []}, r"'messages': tuple should have at least 1 item"),
        ({"messages": 5}, r"'messages': input should be a valid tuple \(got 5\)"),
        ({"media": []}, r"a part refers to medium 0, but the record has 0 media"),
        ({"media": TWO}, r"no message refers to medium 1"),
        ({"media": [{"kind": "audio", "uri": "a"}]}, r"refers to medium 0, which is 'audio'"),
        (
            {"messages": [turn("user", {"type": "text"})]},
            r"'messages.0.content.0': a text part has",
        ),
        ({"messages": [turn("user", {"type": "image"})]}, r"has `media`, the index of its medium"),
        (
            {"messages": [turn("human", TEXT)]},
            r"'messages.0.role': input should be 'system', 'user'",
        ),
        ({"messages": [{"role": "user", "content": "x"}]}, r"'messages.0.content' is a text; "),
        ({"messages": [USER, turn("assistant")]}, r"turn 2 \(assistant\): it is empty"),
        (
            {"messages": [turn("user", {"type": "text", "text": " \n"})], "media": []},
            r"it is empty",
        ),
        ({"messages": [REPLY], "media": []}, r"turn 1 \(assistant\): a user turn must come before"),
        (
            {"messages": [USER, REPLY, REPLY]},
            r"turn 3 \(assistant\): it follows a turn of the same",
        ),
        ({"messages": [USER, turn("system", TEXT)]}, r"turn 2 \(system\): .* can only come first"),
        ({"messages": [turn("system", TEXT)], "media": []}, r"there is no user turn; add one"),
        (
            {"messages": [turn("user", TEXT), turn("assistant", IMAGE)]},
            r"put media into user turns",
        ),
        (
            {"messages": [turn("system", IMAGE), turn("user", TEXT)]},
            r"put media into user turns",
        ),
        ({"meta": [1]}, r"'meta': input should be a valid dictionary"),
        ({"meta": "{"}, r"^x:7: 'meta': not valid JSON: expecting property name"),
    ],
)
def test_a_bad_row_is_one_line_that_names_the_field(change: dict[str, Any], message: str) -> None:
    row = {key: value for key, value in (ROW | change).items() if value is not None}

    with pytest.raises(RecordError, match=message) as caught:
        read_row(row, Place("x:7", "x-7"), find_format("native"))

    assert str(caught.value).startswith("x:7: ")
    assert "\n" not in str(caught.value)


def test_all_problems_of_a_row_are_told_at_once_but_not_hundreds() -> None:
    row = ROW | {"messages": [{"role": "user", "content": [{"typ": i}]} for i in range(100)]}

    with pytest.raises(
        RecordError, match=r"'messages.0.content.0.type' is missing; .*and 195 more$"
    ):
        read_row(row, Place("x:1", "x-1"))


def test_a_marker_in_a_native_text_stays_text() -> None:
    row = {"id": "1", "messages": [turn("user", {"type": "text", "text": "<image> is a tag"})]}

    _, (record,) = read_row(row, Place("x:1", "x-1"))

    assert record.messages[0].content[0].text == "<image> is a tag"
    assert record.media == ()


def test_writing_leaves_nothing_behind_when_a_record_is_refused(tmp_path: Path) -> None:
    good = Record.model_validate(ROW)
    bad = good.model_copy(update={"meta": {"score": float("nan")}})
    path = tmp_path / "out.jsonl"

    with pytest.raises(RecordError, match="record '1': JSON cannot represent it"):
        write_records([good, bad], path)

    assert list(tmp_path.iterdir()) == []


def test_writing_replaces_a_file_only_when_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    good = Record.model_validate(ROW)
    write_records([good], path)
    before = path.read_bytes()

    with pytest.raises(RecordError, match="half a character"):
        write_records([good, good.model_copy(update={"id": "\ud800"})], path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("out.csv", "native", r"output: unknown ending '.csv'"),
        ("out.parquet", "llava", r"output: Parquet holds native records only"),
        ("out.jsonl", "lava", r"format: unknown format 'lava'. Did you mean 'llava'\?"),
    ],
)
def test_writing_refuses_what_it_cannot_write(
    tmp_path: Path, name: str, to: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_records([Record.model_validate(ROW)], tmp_path / name, to=to)


def test_writing_into_a_missing_folder_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"out\.jsonl: it cannot be written \(No such file"):
        write_records([], tmp_path / "none" / "out.jsonl")


def test_a_line_of_json_is_one_line_for_every_reader(tmp_path: Path) -> None:
    record = Record.model_validate(ROW | {"id": "a\u2028b\x85c\x1cd"})
    path = tmp_path / "out.jsonl"

    write_records([record, record], path)

    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert next(read_records(path))[1] == record


def test_parquet_is_written_in_small_row_groups_of_columns_other_tools_know(tmp_path: Path) -> None:
    import pyarrow.parquet

    expect = {"scorer": "number", "options": {"absolute": 0.5}, "references": ["2", "dua"]}
    answer = ROW["messages"][1] | {"expect": expect}
    changes = {"messages": [ROW["messages"][0], answer], "cluster": "c", "meta": {"a": [1]}}
    record = Record.model_validate(ROW | changes)
    path = tmp_path / "out.parquet"

    write_records([record] * 1001, path)

    file = pyarrow.parquet.ParquetFile(path)
    assert file.num_row_groups == 2
    assert file.read().slice(1000).to_pylist() == [
        {
            "id": "1",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "text": None, "media": 0},
                        {"type": "text", "text": "Apa?", "media": None},
                    ],
                    "expect": None,
                },
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "Kucing.", "media": None}],
                    "expect": {
                        "scored": None,
                        "scorer": "number",
                        "options": '{"absolute": 0.5}',
                        "references": ["2", "dua"],
                        "choices": None,
                        "tags": None,
                    },
                },
            ],
            "media": [{"kind": "image", "uri": "a.jpg", "sha256": None}],
            "lang": None,
            "group": None,
            "cluster": "c",
            "meta": '{"a": [1]}',
        }
    ]
