"""The index of large files is made once, by several processes, and is true to the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmmodal.errors import RecordError
from mmmodal.records import index
from mmmodal.records.dataset import RecordDataset


def row(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": "Ya."}]
    return {"id": str(number), "messages": messages}


def write(path: Path, numbers: range, bad: int | None = None) -> Path:
    rows = [json.dumps(row(n)) if n != bad else '{"id": 1}' for n in numbers]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept indexes; every file counts as large, with parts for two processes."""
    monkeypatch.setenv("MMMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "LARGE", 1)
    monkeypatch.setattr("mmmodal.records.text_rows.SMALLEST", 200)
    monkeypatch.setattr(index, "_processes", lambda: 2)
    return tmp_path / "cache" / "indexes"


def ids(dataset: RecordDataset) -> list[str]:
    return [dataset[number][1].id for number in range(len(dataset))]


def places(dataset: RecordDataset) -> list[str]:
    return [dataset[number][0] for number in range(len(dataset))]


def test_an_index_of_several_processes_is_that_of_one(tmp_path: Path, kept: Path) -> None:
    path = write(tmp_path / "a.jsonl", range(100))
    found = RecordDataset(path)
    assert ids(found) == [str(number) for number in range(100)]
    assert places(found) == [f"{path}:{number}" for number in range(1, 101)]


def test_a_kept_index_is_read_without_the_rows(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.jsonl", range(100))
    before = RecordDataset(path)
    assert len(list(kept.iterdir())) == 1
    monkeypatch.setattr(index, "_scan", None)
    again = RecordDataset(path)
    assert ids(again) == ids(before)
    assert places(again) == places(before)


def test_a_changed_file_is_indexed_anew(tmp_path: Path, kept: Path) -> None:
    path = write(tmp_path / "a.jsonl", range(50))
    RecordDataset(path)
    write(path, range(60))
    assert len(RecordDataset(path)) == 60


def test_bad_rows_are_told_each_time(tmp_path: Path, kept: Path) -> None:
    path = write(tmp_path / "a.jsonl", range(50), bad=7)
    for _ in range(2):
        told: list[RecordError] = []
        dataset = RecordDataset(path, on_error=told.append)
        assert [error.where for error in told] == [f"{path}:8"]
        assert (len(dataset), dataset.skipped) == (49, 1)
        with pytest.raises(RecordError, match=r"a\.jsonl:8: "):
            RecordDataset(path)


@pytest.mark.parametrize("kept_bytes", [0, 7, 40, -1])
def test_a_damaged_index_is_made_anew(tmp_path: Path, kept: Path, kept_bytes: int) -> None:
    path = write(tmp_path / "a.jsonl", range(50))
    RecordDataset(path)
    (file,) = kept.iterdir()
    file.write_bytes(file.read_bytes()[:kept_bytes])
    assert ids(RecordDataset(path)) == [str(number) for number in range(50)]


def test_an_index_that_cannot_be_kept_is_told(
    tmp_path: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(RecordDataset(write(tmp_path / "a.jsonl", range(50)))) == 50
    assert "The index of the data is not kept" in capsys.readouterr().err


def test_several_files_are_one_dataset(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "b").mkdir()
    files = [
        write(tmp_path / "a.jsonl", range(40)),
        write(tmp_path / "b" / "b.jsonl", range(40, 90)),
    ]
    dataset = RecordDataset(files)
    assert ids(dataset) == [str(number) for number in range(90)]
    assert (dataset.root(0), dataset.root(-1)) == (tmp_path, tmp_path / "b")
    assert RecordDataset(files, root=tmp_path).root(-1) == tmp_path
    assert ids(RecordDataset(files[::-1])) == [*map(str, range(40, 90)), *map(str, range(40))]


def test_small_files_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMMODAL_CACHE", str(tmp_path / "cache"))
    RecordDataset(write(tmp_path / "a.jsonl", range(50)))
    assert not (tmp_path / "cache").exists()
