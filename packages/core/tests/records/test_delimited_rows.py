"""Tables of text: rows of CSV and TSV as their writers mean them, and what is refused."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmodal.errors import RecordError
from mmmodal.records import text_rows
from mmmodal.records.files import open_rows
from mmmodal.records.rows import WHOLE


def table(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(path: Path) -> list[Any]:
    """Return the rows of a file with their lines, errors as texts; each is read by position too."""
    source = open_rows(path)
    rows: list[Any] = []
    for row in source:
        try:
            rows.append((row.number, row.read()))
        except RecordError as error:
            assert error.where == f"{path}:{row.number}"
            rows.append((row.number, error.reason))
        else:
            assert source.read(row.position, row.where) == rows[-1][1]
    return rows


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", "a,b\n1,x\n", [(2, {"a": "1", "b": "x"})]),
        ("a.CSV", "a,b\r\n1,x\r\n2,y", [(2, {"a": "1", "b": "x"}), (3, {"a": "2", "b": "y"})]),
        ("a.csv", "\ufeffa,b\n\n1,\n", [(3, {"a": "1"})]),
        ("a.csv", 'a,b\n"x, ""y""","p\nq"\n3,z\n', [
            (2, {"a": 'x, "y"', "b": "p\nq"}), (4, {"a": "3", "b": "z"})]),
        ("a.csv", "a;b\n1,5;x\n", [(2, {"a": "1,5", "b": "x"})]),
        ("a.csv", "a\tb\n1\tx\n", [(2, {"a": "1", "b": "x"})]),
        ("a.csv", ",a\n0,x\n", [(2, {"Unnamed: 0": "0", "a": "x"})]),
        ("a.csv", "a\nx\n", [(2, {"a": "x"})]),
        ("a.csv", "a,b\n", []),
        ("a.tsv", "a,1\tb\n", []),
        ("a.tsv", 'a\tb\nSay "hi", "ho"\t"open\n', [(2, {"a": 'Say "hi", "ho"', "b": '"open'})]),
        ("a.tsv", 'a\tb\n"""Hi,"" he said"\t""\n', [(2, {"a": '"Hi," he said'})]),
    ],
)  # fmt: skip
def test_rows_are_as_their_writer_meant_them(
    tmp_path: Path, name: str, content: str, rows: list[Any]
) -> None:
    assert found(table(tmp_path, content, name)) == rows


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "a,b\n1\n2,y\n", "it has 1 values, but the first line names 2 columns; quote each value"),
        ("a.csv", "a,b\n1,2,3\n2,y\n", "it has 3 values, but the first line names 2 columns; quote each"),
        ("a.tsv", "a\tb\n1\n2\ty\n", "hold no tab and no line break; save such a table as CSV"),
        ("a.csv", 'a,b\n5" disk,x\n2,y\n', "it has a quote inside a value that is not quoted"),
        ("a.csv", 'a,b\n"x"z,x\n2,y\n', "it has a quote inside a value that is not quoted"),
        ("a.csv", 'a,b\nx,"open\n2,y\n', "a quoted value does not end; close it by a quote"),
        ("a.csv", b"a,b\ncaf\xe9,x\n2,y\n", "not UTF-8 text (at byte 4); save the file as UTF-8"),
    ],
)  # fmt: skip
def test_a_bad_row_is_one_error_and_hides_no_other(
    tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    first, second = found(table(tmp_path, content, name))

    assert first[0] == 2
    assert reason in first[1]
    assert second == (3, {"a": "2", "b": "y"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "a.csv:1: it is empty; its first line must name the columns"),
        ("\n \n", "a.csv:1: it is empty; its first line must name the columns"),
        (
            "a,b,a\n1,2,3\n",
            "a.csv:1: it has several columns of the name 'a'; rename or remove them",
        ),
        ("a,b\r1,2\r", "a.csv:1: its lines end in CR alone; save it with line ends of LF"),
        ('"a,b\n1,2\n', "a.csv:1: a quoted value does not end; close it by a quote"),
        (b"caf\xe9,b\n1,2\n", "a.csv:1: not UTF-8 text (at byte 4); save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "a.csv: it is UTF-16 text; save it as UTF-8"),
    ],
)
def test_a_file_without_named_columns_is_one_error(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    path = table(tmp_path, content)

    with pytest.raises(RecordError) as error:
        list(open_rows(path))

    assert str(error.value) == f"{tmp_path}/{reason}"


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(st.sampled_from('ab,;"\t\r\n é')), min_size=3, max_size=3), max_size=5
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_standard_library_writes_is_read(
    rows: list[list[str]], quoting: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting)
        writer.writerows([["x", "y", "z"], *(["1", *row[1:]] for row in rows)])

    expected = [{"x": "1", **dict(zip("yz", row[1:], strict=True))} for row in rows]
    assert [row for _, row in found(path)] == [
        {key: value for key, value in row.items() if value} for row in expected
    ]


@pytest.mark.parametrize("number", [1, 3, 10])
def test_parts_of_tsv_hold_each_row_once(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_rows, "SMALLEST", 10)
    path = table(tmp_path, "a\tb\n" + "".join(f"{n}\tx{n}\n" for n in range(40)), "a.tsv")
    source = pickle.loads(pickle.dumps(open_rows(path)))

    spans = source.spans(number)
    rows = [(row.number, row.read()["a"]) for span in spans for row in source.within(span)]

    assert len(spans) == number
    assert rows == [(n + 2, str(n)) for n in range(40)]
    assert rows == [(row.number, row.read()["a"]) for row in source.within(WHOLE)]


def test_a_row_that_is_too_long_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_rows, "LONGEST", 100)
    path = table(tmp_path, f"a,b\n1,{'x' * 200}\n2,y\n")

    assert found(path) == [
        (2, "longer than 100 bytes; split the row"),
        (3, {"a": "2", "b": "y"}),
    ]
