"""The parts of a file hold every row once, with the lines and positions of the whole file."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmmodal.records.files import open_rows
from mmmodal.records.rows import Row, RowSource, Span

ROWS = [{"id": str(number), "text": "é" * (number % 7)} for number in range(200)]


def told(row: Row) -> tuple[object, ...]:
    return row.where, row.number, row.position, row.read()


def within(source: RowSource, spans: list[Span]) -> list[tuple[object, ...]]:
    return [told(row) for span in spans for row in source.within(span)]


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    blank = ["\n" if number % 9 == 0 else "" for number in range(len(ROWS))]
    path.write_text(
        "".join(f"{json.dumps(row)}\n{gap}" for row, gap in zip(ROWS, blank, strict=True))
    )
    return path


@given(edges=st.lists(st.integers(1, 5000), max_size=6))
def test_parts_of_a_file_of_lines_hold_every_row_once(lines: Path, edges: list[int]) -> None:
    source = open_rows(lines)
    size = lines.stat().st_size
    cuts = sorted({0, size, *(edge for edge in edges if edge < size)})
    assert within(source, list(pairwise(cuts))) == [told(row) for row in source]


def test_lines_before_a_part_are_counted_once_for_each_version_of_a_file(
    tmp_path: Path, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmmodal.records.text_rows.BLOCK", 256)
    path = tmp_path / "rows.jsonl"
    for text in (lines.read_text(), "\n" * 500 + lines.read_text(), lines.read_text()):
        path.write_text(text)
        cuts = [*range(0, len(text.encode()), 700), len(text.encode())]
        assert within(open_rows(path), list(pairwise(cuts))) == [told(r) for r in open_rows(path)]


def test_a_large_file_of_lines_has_several_parts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"id": str(n), "text": "x" * 100_000}) + "\n" for n in range(200))
    )
    source = open_rows(path)
    spans = source.spans(4)
    assert len(spans) == 4
    assert within(source, spans) == [told(row) for row in source]


@pytest.mark.parametrize("number", [1, 3, 7, 50])
def test_parts_of_a_table_hold_every_row_once(tmp_path: Path, number: int) -> None:
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=16
    )
    source = open_rows(tmp_path / "a.parquet")
    assert len(source.spans(number)) == min(number, 13)
    assert within(source, source.spans(number)) == [told(row) for row in source]


def test_a_saved_folder_has_several_parts(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS * 10).save_to_disk(str(tmp_path / "saved"))
    source = open_rows(tmp_path / "saved")
    assert len(source.spans(3)) == 3
    assert within(source, source.spans(3)) == [told(row) for row in source]


def test_a_list_is_one_part(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    source = open_rows(tmp_path / "rows.json")
    assert len(source.spans(5)) == 1
    assert within(source, source.spans(5)) == [told(row) for row in source]
