"""Rows of files: where they are, what is refused, and that none hides the others."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmodal.errors import RecordError
from mmmodal.media.limits import Limits
from mmmodal.records import text_rows
from mmmodal.records.files import open_rows
from mmmodal.records.json_text import dump_json, parse_json


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def values(path: Path) -> list[Any]:
    """Return the rows of a file, errors as their texts; each row is also read again by position."""
    source = open_rows(path)
    found: list[Any] = []
    for row in source:
        try:
            value = row.read()
        except RecordError as error:
            found.append(str(error).removeprefix(str(path)))
        else:
            assert source.read(row.position, row.where) == value
            assert row.where == f"{path}:{row.number}"
            assert 0 < row.done <= 1
            found.append((row.number, value))
    return found


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": "\xc3\xbc\\u2028"}\n{"a": 3}'
    )

    assert values(path) == [(1, {"a": 1}), (4, {"a": "ü\u2028"}), (5, {"a": 3})]


def test_a_bad_line_does_not_hide_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": \n[1]\n{"a": 4}\n{"a": 5')

    assert values(path) == [
        (1, {"a": 1}),
        ":2: not valid JSON: expecting value (at character 8); correct it",
        ":3: a row must be a JSON object {…}, got list",
        (4, {"a": 4}),
        ":5: not valid JSON: expecting ',' delimiter (at character 8); correct it",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": NaN}', r"NaN is not valid JSON; write a number or null"),
        (b'{"a": -Infinity}', r"-Infinity is not valid JSON"),
        (b'{"a": 1e999}', r"the number 1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"a number has more digits than can be read"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', r"the key 'c' is given twice"),
        (b'{"a": "\\ud83d"}', r"half a character \(a lone surrogate"),
        (b'{"\\udc00": 1}', r"half a character"),
        (b'{"a": "\xff"}', r"not UTF-8 text \(at byte 8\); save the file as UTF-8"),
        (b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", r"nested more than 100 levels deep"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", r"nested more than 100 levels deep"),
        (b'{"a": "x\ty"}', r"not valid JSON: invalid control character"),
        (b"{'a': 1}", r"not valid JSON: expecting property name"),
        (b'{"a": 1} {"a": 2}', r"not valid JSON: extra data"),
        (b"null", r"a row must be a JSON object \{…\}, got NoneType"),
        (b'"text"', r"a row must be a JSON object \{…\}, got str"),
    ],
)
@pytest.mark.parametrize("form", ["lines", "list"])
def test_a_bad_row_is_one_clear_error(tmp_path: Path, form: str, text: bytes, reason: str) -> None:
    joined = b'{"a": 1}\n' + text if form == "lines" else b'[{"a": 1},\n' + text + b"]"
    path = write(tmp_path / "a.json", joined)

    rows = list(open_rows(path))

    with pytest.raises(RecordError, match=reason) as caught:
        rows[1].read()
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)


def test_brackets_that_never_close_are_an_error_however_many(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", b'{"a":' * 10_000), ("a.json", b"[" * 10_000)):
        (row,) = list(open_rows(write(tmp_path / name, text)))
        with pytest.raises(RecordError, match=rf"{name}:1: "):
            row.read()


def test_good_surrogate_pairs_and_nesting_of_a_hundred_are_read() -> None:
    assert parse_json(b'["\\ud83d\\ude00"]', "x") == ["😀"]
    assert parse_json("[" * 100 + "]" * 100, "x")


def test_a_value_that_json_cannot_hold_is_not_written() -> None:
    circle: list[Any] = []
    circle.append(circle)

    for value in (float("nan"), "\ud800", {1, 2}, circle):
        with pytest.raises(RecordError, match="^x: "):
            dump_json(value, "x")


# Lists


def test_rows_of_a_list_are_named_by_the_line_they_begin_in(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json", '\ufeff [\n {"a":\n 1},\n\n {"b": "],[{\\"\\\\"}, {"c": [{}]}\n]\n'
    )

    assert values(path) == [
        (2, {"a": 1}),
        (5, {"b": '],[{"\\'}),
        (5, {"c": [{}]}),
    ]


@pytest.mark.parametrize("text", ["[]", " [ ] ", "", "\n\n"])
def test_a_file_without_rows_has_none(tmp_path: Path, text: str) -> None:
    assert values(write(tmp_path / "a.json", text)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"a": 1}, {"a": }, {"a": 3}]', ":1: not valid JSON: expecting value"),
        ('[{"a": 1},\n, {"a": 3}]', ":2: not valid JSON: expecting value"),
        ('[{"a": 1}, {"a": 3},\n]', ":2: not valid JSON: expecting value"),
        ('[{"a": 1}, {"a": 3}\n', ":1: the list does not end: the file is cut off"),
        ('[{"a": 1}, {"a": 3}, {"b', ":1: the list does not end: the file is cut off"),
        ('[{"a": 1}, {"a": 3}]\n]', ":2: there is text after the end of the list"),
        ('[{"a": 1}, {"a": 3}}', ":1: a closing bracket has no opening bracket"),
    ],
)
def test_a_bad_list_tells_its_problem_and_keeps_the_good_rows(
    tmp_path: Path, text: str, problem: str
) -> None:
    found = values(write(tmp_path / "a.json", text))

    assert (1, {"a": 1}) in found
    assert [row for row in found if isinstance(row, str) and row.startswith(problem)]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.lists(st.text(max_size=9)))
    ),
    indent=st.sampled_from([None, 0, 2]),
    chunk=st.integers(1, 40),
    ascii_only=st.booleans(),
)
def test_a_list_of_any_layout_gives_its_rows_whatever_the_chunk(
    rows: list[dict[str, Any]], indent: int | None, chunk: int, ascii_only: bool
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    path = Path(os.environ["PYTEST_LIST_FOLDER"]) / "a.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_rows, "CHUNK", chunk)

        assert [value for _, value in values(write(path, text))] == rows


@pytest.fixture(scope="module", autouse=True)
def list_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give the property test one folder: hypothesis takes no function-scoped fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_LIST_FOLDER", str(tmp_path_factory.mktemp("lists")))
        yield


@pytest.mark.parametrize("form", ["lines", "list"])
def test_a_row_that_is_too_long_is_refused_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(text_rows, "LONGEST", 1000)
    monkeypatch.setattr(text_rows, "CHUNK", 100)
    long = json.dumps({"a": "x" * 5000})
    text = f'{{"a": 1}}\n{long}\n{{"a": 3}}' if form == "lines" else f'[{{"a": 1}},\n{long}]'
    found = values(write(tmp_path / "a.json", text))

    assert found[:2] == [(1, {"a": 1}), ":2: longer than 1,000 bytes; split the row"]
    assert found[2:] == ([(3, {"a": 3})] if form == "lines" else [])


@pytest.mark.parametrize("form", ["lines", "list", "parquet"])
def test_a_file_is_never_held_as_a_whole(tmp_path: Path, form: str) -> None:
    rows = [{"id": str(index), "text": "x" * 2000} for index in range(10_000)]
    path = tmp_path / "a.json"
    if form == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=1000)
    else:
        lines = [json.dumps(row) for row in rows]
        write(path, "\n".join(lines) if form == "lines" else f"[{','.join(lines)}]")
    del rows
    tracemalloc.start()
    arrow = pyarrow.total_allocated_bytes()

    number = sum(len(row.read()["text"]) for row in open_rows(path))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == 20_000_000
    assert peak < 6_000_000
    assert pyarrow.total_allocated_bytes() - arrow < 6_000_000


# Tables

TABLE = [
    {
        "id": str(index),
        "messages": [{"role": "user", "content": [{"type": "text", "text": "ü", "media": None}]}],
        "meta": '{"a": 1}',
        "lang": None if index % 2 else "ms",
    }
    for index in range(10)
]


def test_rows_of_parquet_are_numbered_through_and_read_by_position(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TABLE), path, row_group_size=3)

    found = values(path)

    assert [number for number, _ in found] == list(range(1, 11))
    assert [value for _, value in found] == [
        {key: value for key, value in row.items() if value is not None} for row in TABLE
    ]


def test_a_damaged_parquet_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TABLE * 100), path, compression="none")
    whole = path.read_bytes()

    for content in (whole[:-20], whole[:100], b"PAR1", whole[:50] + b"\xff" * 300 + whole[350:]):
        write(path, content)
        with pytest.raises(RecordError, match=r"a\.parquet: it is damaged or cut off"):
            list(open_rows(path))
    write(path, b"not parquet")
    with pytest.raises(RecordError, match=r"a\.parquet: it is not a Parquet file"):
        open_rows(path)


def test_text_in_parquet_that_is_no_utf8_is_an_error_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    bad = pyarrow.array([b"good", b"\xff"]).cast(pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"id": bad}), path)

    assert values(path) == [
        (1, {"id": "good"}),
        ":2: the row cannot be read (UnicodeDecodeError); save the table again",
    ]


def test_random_access_to_parquet_keeps_few_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmmodal.records import table_rows

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TABLE), path, row_group_size=2)
    source = open_rows(path)
    source.read((0, 1), "x")
    (group,) = [table.nbytes for table in source._groups.values()]  # type: ignore[attr-defined]
    monkeypatch.setattr(table_rows, "CACHE", 2 * group + 5)

    read = [source.read((index, 1), "x")["id"] for index in (0, 1, 0, 4, 0)]

    assert read == ["1", "3", "1", "9", "1"]
    assert [number for number, _ in source._groups] == [4, 0]  # type: ignore[attr-defined]


def test_a_saved_dataset_is_read_in_its_order_without_decoding(tmp_path: Path) -> None:
    rows = [
        {"id": str(index), "picture": {"bytes": b"no image", "path": None}} for index in range(600)
    ]
    features = datasets.Features({"id": datasets.Value("string"), "picture": datasets.Image()})
    saved = datasets.Dataset.from_list(rows, features=features).shuffle(seed=1)
    saved.save_to_disk(tmp_path / "saved")

    found = values(tmp_path / "saved")

    assert [value["id"] for _, value in found] == saved.remove_columns("picture")["id"][:]
    assert found[0][1]["picture"].read_bytes(Limits()) == b"no image"


def test_a_saved_dataset_of_several_splits_says_which_there_are(tmp_path: Path) -> None:
    one = datasets.Dataset.from_list([{"id": "1"}])
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "saved")

    with pytest.raises(
        RecordError, match=r"several splits; name one of: .*saved/test, .*saved/train"
    ):
        open_rows(tmp_path / "saved")
    assert values(tmp_path / "saved" / "train") == [(1, {"id": "1"})]


def test_a_damaged_saved_dataset_is_an_error_that_names_it(tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"id": "1"}]).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "state.json").write_text("{")

    with pytest.raises(RecordError, match=r"saved: it is damaged or cut off"):
        open_rows(tmp_path / "saved")


@pytest.mark.parametrize("form", ["lines", "parquet", "saved"])
def test_a_source_can_be_sent_to_another_process(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.jsonl"
    if form == "lines":
        write(path, "".join(json.dumps(row) + "\n" for row in TABLE))
    elif form == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TABLE), path)
    else:
        datasets.Dataset.from_list(TABLE).save_to_disk(path)
    source = open_rows(path)
    rows = list(source)

    sent = pickle.loads(pickle.dumps(source))

    assert sent.read(rows[7].position, "x") == rows[7].read()
    assert [row.position for row in sent] == [row.position for row in rows]


# What is no data file


def test_what_is_no_file_of_rows_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    cases = {
        tmp_path / "none.jsonl": "no such file",
        write(tmp_path / "file", "{}") / "below": "no such file",
        Path("a\0b"): "no such file",
        tmp_path / "pipe": "it is a pipe, socket or device",
        tmp_path / "folder": "it is a folder, but not one saved by `datasets`",
        write(tmp_path / "a.jsonl.gz", gzip.compress(b"{}")): "gzip-compressed; unpack it first",
        write(
            tmp_path / "utf16.json", '{"a": 1}'.encode("utf-16")
        ): "UTF-16 text; save it as UTF-8",
        write(
            tmp_path / "utf16le.json", '{"a": 1}'.encode("utf-16-le")
        ): "UTF-16 text; save it as UTF-8",
        write(
            tmp_path / "utf32.json", '{"a": 1}'.encode("utf-32")
        ): "UTF-32 text; save it as UTF-8",
        write(tmp_path / "pretty.json", '{\n  "a": 1\n}'): "its rows span several lines",
        write(tmp_path / "a.zip", b"PK\x03\x04..."): "a zip archive",
    }
    for path, reason in cases.items():
        with pytest.raises(RecordError, match=reason) as caught:
            open_rows(path)
        assert str(caught.value).startswith(str(path))


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.text(st.sampled_from('[]{}",:\\ 1a\n\ufeff'), max_size=30).map(str.encode)
)
def test_any_bytes_are_rows_or_record_errors(content: bytes) -> None:
    path = write(Path(os.environ["PYTEST_LIST_FOLDER"]) / "any", content)
    try:
        values(path)
    except RecordError as error:
        assert str(path) in str(error)
