"""Arrow files: streams as `datasets` caches them, files with an index, and damaged ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import Dataset

from mmmodal.errors import RecordError
from mmmodal.records.files import open_rows

ROWS: list[dict[str, Any]] = [{"id": f"r{n}", "media": [n] * (n % 2)} for n in range(600)]


def write(path: Path, kind: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Write rows in batches as a file of a kind of Arrow."""
    table = pyarrow.Table.from_pylist(rows)
    start = pyarrow.ipc.new_stream if kind == "stream" else pyarrow.ipc.new_file
    with start(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return path


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_rows_of_arrow_files_are_read(tmp_path: Path, kind: str) -> None:
    source = pickle.loads(pickle.dumps(open_rows(write(tmp_path / "a.arrow", kind))))
    rows = list(source)
    assert [row.read() for row in rows] == ROWS
    assert source.read(rows[333].position, "x") == ROWS[333]
    assert rows[332].where == f"{tmp_path}/a.arrow:333"
    spans = source.spans(2)
    assert len(spans) == 2
    assert [row.read()["id"] for span in spans for row in source.within(span)] == [
        row["id"] for row in ROWS
    ]


def test_the_cache_of_datasets_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cache.arrow"
    Dataset.from_list([{"n": 1}, {"n": 2}]).map(
        lambda row: {"n": row["n"] + 1}, cache_file_name=str(path)
    )
    assert [row.read() for row in open_rows(path)] == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize("kind", ["stream", "file"])
@pytest.mark.parametrize("kept", [0, 4, 7, 100, 0.3, 0.5, 0.9, -8, -1])
def test_a_file_that_is_cut_off_is_one_error(tmp_path: Path, kind: str, kept: float) -> None:
    path = write(tmp_path / "a.arrow", kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(RecordError, match="damaged") as error:
        list(open_rows(path))
    assert error.value.where == str(path)


def test_a_stream_that_lost_whole_batches_is_one_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.arrow", "stream")
    with pyarrow.memory_map(str(path)) as file:
        reader = pyarrow.ipc.open_stream(file)
        reader.read_next_batch()
        kept = file.tell()
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordError, match="damaged or cut off"):
        open_rows(path)


def test_a_file_of_another_kind_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    path.write_text('{"id": 1}\n')
    with pytest.raises(RecordError, match="it is not an Arrow file, or its start is damaged"):
        open_rows(path)
