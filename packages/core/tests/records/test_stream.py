"""Streams of records: every row in one shard, whatever the files, and errors where they lie."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mmmodal.errors import RecordError
from mmmodal.records.stream import RecordPlace, RecordStream
from poison import text_row
from worlds import write_lines

ROWS = [text_row(f"row {n}", f"word {n}") for n in range(50)]
KINDS = ("lines", "list", "table")


def written(path: Path, kind: str) -> Path:
    if kind == "lines":
        return write_lines(path, ROWS)
    if kind == "list":
        path.write_text(json.dumps(ROWS))
    else:
        table = pyarrow.Table.from_pylist([{**row, "media": None} for row in ROWS])
        pyarrow.parquet.write_table(table, path, row_group_size=7)
    return path


def read(stream: RecordStream, shard: int, first: int = 0) -> list[str]:
    places = [place for row in stream.rows(shard, first) for place in row]
    return [stream.record(place)[1].id for place in places if isinstance(place, RecordPlace)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("readers", [1, 2, 12, 96])
def test_shards_hold_every_row_once_and_are_enough(tmp_path: Path, kind: str, readers: int) -> None:
    stream = RecordStream([written(tmp_path / "rows", kind)], readers=readers)
    assert len(stream.shards) >= readers
    found = Counter(name for shard in range(len(stream.shards)) for name in read(stream, shard))
    assert found == {row["id"]: 1 for row in ROWS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_goes_on_at_any_row_in_another_process(tmp_path: Path, kind: str) -> None:
    stream = RecordStream([written(tmp_path / "rows", kind)], readers=3)
    again = pickle.loads(pickle.dumps(stream))
    for shard in range(len(stream.shards)):
        whole = read(stream, shard)
        for first in range(len(whole) + 2):
            assert read(again, shard, first) == whole[first:]


def test_files_are_told_apart_by_their_places(tmp_path: Path) -> None:
    paths = [write_lines(tmp_path / f"{n}.jsonl", ROWS[n::3]) for n in range(3)]
    (tmp_path / "empty.jsonl").write_text("")
    stream = RecordStream([*paths, tmp_path / "empty.jsonl"], readers=2)
    found = [place for shard in range(len(stream.shards)) for row in stream.rows(shard, 0)
             for place in row]  # fmt: skip
    where = {stream.record(place)[0] for place in found if isinstance(place, RecordPlace)}
    assert where == {f"{path}:{line + 1}" for n, path in enumerate(paths)
                     for line in range(len(ROWS[n::3]))}  # fmt: skip
    assert {stream.root_of(place.file) for place in found if isinstance(place, RecordPlace)} == {
        tmp_path
    }


def test_many_files_are_opened_a_few_at_a_time(tmp_path: Path) -> None:
    paths = [write_lines(tmp_path / f"{n}.jsonl", [row]) for n, row in enumerate(ROWS)]
    stream = RecordStream(paths, readers=4)
    found = [name for shard in range(len(stream.shards)) for name in read(stream, shard)]
    assert sorted(found) == sorted(row["id"] for row in ROWS)


def test_a_bad_row_is_an_error_among_the_others(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [ROWS[0], "{", ROWS[1], {"neither": 1}])
    rows = list(RecordStream([path]).rows(0, 0))
    errors = [str(item) for row in rows for item in row if isinstance(item, RecordError)]
    assert len(rows) == 4 and len(errors) == 2
    assert f"{path}:2" in errors[0] and f"{path}:4" in errors[1]


def test_a_file_that_ends_too_soon_is_one_error_after_its_good_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS)[:-1])
    stream = RecordStream([path], readers=4)
    items = [item for shard in range(4) for row in stream.rows(shard, 0) for item in row]
    errors = [item for item in items if isinstance(item, RecordError)]
    assert len(items) == len(ROWS) and len(errors) == 1 and "does not end" in str(errors[0])


@pytest.mark.parametrize("readers", [1, 5])
def test_a_file_that_is_gone_is_one_error_and_not_the_end(tmp_path: Path, readers: int) -> None:
    path = write_lines(tmp_path / "rows.jsonl", ROWS)
    stream = pickle.loads(pickle.dumps(RecordStream([path], readers=readers)))
    path.unlink()
    shards = range(len(stream.shards))
    items = [item for shard in shards for row in stream.rows(shard, 0) for item in row]
    assert [str(item) for item in items] == [f"{path}: no such file; check its name"]


def test_a_truncated_table_is_an_error_of_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.parquet", "table")
    stream = pickle.loads(pickle.dumps(RecordStream([path])))
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    items = [item for shard in range(len(stream.shards)) for row in stream.rows(shard, 0)
             for item in row]  # fmt: skip
    assert any(isinstance(item, RecordError) and str(path) in str(item) for item in items)


def test_whether_there_are_rows_needs_no_full_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", ROWS)
    assert RecordStream([path], readers=8)
    stream = RecordStream([path])
    assert len(list(islice(stream.rows(0, 0), 1))) == 1
    assert not RecordStream([write_lines(tmp_path / "none.jsonl", [""])], readers=8)
