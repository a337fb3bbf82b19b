"""What a path of data may be: files, folders of shards, patterns, braces."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordDataset, read_records
from mmmodal.records.files import open_rows
from mmmodal.records.reading import RecordPlace
from mmmodal.records.shards import find_shards
from mmmodal.records.stream import RecordStream

FOLDERS = {
    "numbers": ["10.parquet", "2.parquet", "1.parquet", "README.md", ".hidden.parquet"],
    "tars": [f"{number:03}.tar" for number in range(12)],
    "hub": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
            "data/test-00000-of-00001.parquet", "data/malay-00000-of-00001.parquet"],
    "splits": ["train/0.jsonl", "train/1.jsonl", "val/0.jsonl", "dataset_info.json"],
    "deep": ["year=2024/a.parquet", "year=2025/a.parquet", ".cache/b.parquet"],
    "mixed": ["a.tar", "b.parquet", "c.jsonl"],
    "packed": ["a.jsonl", "b.jsonl.gz", "c.tar.zst"],
    "pages": ["a.html", "b.txt"],
    "table": ["b.tsv", "a.TSV"],
    "empty": [],
    "odd": ["a[1].jsonl", "{b}.jsonl", "part-1", "part-2"],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with folders of empty shards."""
    root = tmp_path_factory.mktemp("places")
    for folder, names in FOLDERS.items():
        (root / folder).mkdir()
        for name in names:
            (root / folder / name).parent.mkdir(exist_ok=True)
            (root / folder / name).touch()
    return root


def found(place: Path, path: str, **options: str) -> list[str]:
    """Return the shards of a path in a folder, relative to it."""
    shards = find_shards(f"{place}/{path}", **options).shards
    return [str(shard.path().relative_to(place)) for shard in shards]


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("numbers/2.parquet", {}, ["2.parquet"]),
        ("numbers", {}, ["1.parquet", "2.parquet", "10.parquet"]),
        ("numbers/", {}, ["1.parquet", "2.parquet", "10.parquet"]),
        ("numbers/*.parquet", {}, ["1.parquet", "2.parquet", "10.parquet"]),
        ("numbers/?.parquet", {}, ["1.parquet", "2.parquet"]),
        ("numbers/{10,1,10}.parquet", {}, ["10.parquet", "1.parquet"]),
        ("tars/{009..011}.tar", {}, ["009.tar", "010.tar", "011.tar"]),
        ("tars/00{8..9}.tar", {}, ["008.tar", "009.tar"]),
        ("tars/{00,01}{0..1}.tar", {}, ["000.tar", "001.tar", "010.tar", "011.tar"]),
        ("tars/{00,01}[01].tar", {}, ["000.tar", "001.tar", "010.tar", "011.tar"]),
        ("hub", {"split": "test"}, ["data/test-00000-of-00001.parquet"]),
        ("hub", {"split": "malay"}, ["data/malay-00000-of-00001.parquet"]),
        ("hub/data/t*", {"split": "train"},
         ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("splits", {"split": "train"}, ["train/0.jsonl", "train/1.jsonl"]),
        ("splits", {"split": "validation"}, ["val/0.jsonl"]),
        ("splits", {"split": "val"}, ["val/0.jsonl"]),
        ("splits/**/*.jsonl", {}, ["train/0.jsonl", "train/1.jsonl", "val/0.jsonl"]),
        ("splits/{train,val}", {}, ["train/0.jsonl", "train/1.jsonl", "val/0.jsonl"]),
        ("deep", {}, ["year=2024/a.parquet", "year=2025/a.parquet"]),
        ("deep/*", {}, ["year=2024/a.parquet", "year=2025/a.parquet"]),
        ("odd/a[1].jsonl", {}, ["a[1].jsonl"]),
        ("odd/{b}.jsonl", {}, ["{b}.jsonl"]),
        ("table", {}, ["a.TSV", "b.tsv"]),
        ("odd/part-*", {}, ["part-1", "part-2"]),
    ],
)  # fmt: skip
def test_a_path_names_its_shards_in_order(
    place: Path, path: str, options: dict[str, str], expected: list[str]
) -> None:
    folder = path.partition("/")[0]
    assert found(place, path, **options) == [f"{folder}/{name}" for name in expected]


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("none.jsonl", {}, "no such file; check its name"),
        ("none/none", {}, "no such file; check its name"),
        ("a\0b", {}, "no such file; check its name"),
        ("none/*.parquet", {}, "no file matches; check the pattern and the folder"),
        ("numbers/*.tar", {}, "no file matches; check the pattern and the folder"),
        ("tars/{010..013}.tar", {}, "2 of its shards do not exist: "),
        ("tars/{3..1}.tar", {}, "{3..1} is no range of at most 1,000,000 shards; correct it"),
        ("tars/{0..9999999}.tar", {}, "{0..9999999} is no range of at most 1,000,000 shards"),
        ("tars/{0..9999}{0..9999}.tar", {}, "the braces stand for more than 1,000,000 shards"),
        ("tars/{a}.tar", {}, "{a} is neither a range {000..123} nor a list {a,b}"),
        ("tars/{000..1.tar", {}, "a brace is not closed; write {000..123} or {a,b}"),
        ("empty", {}, "the folder has no shards (Parquet, JSON, CSV, TSV, tar, Arrow or MDS files): it is empty"),
        ("pages", {}, "it holds a.html, b.txt"),
        ("packed", {}, "several kinds: JSON lines (1), compressed JSON lines (1), compressed tar (1)"),
        ("mixed", {}, "its files are of several kinds: JSON lines (1), Parquet (1), tar (1); name one"),
        ("mixed/*", {}, "its files are of several kinds: JSON lines (1), Parquet (1), tar (1); name one"),
        ("hub", {}, "it holds several splits: malay, test, train; name one by `split`"),
        ("splits", {}, "it holds several splits: train, validation; name one by `split`"),
        ("hub", {"split": "tran"}, "it has no split 'tran'. Did you mean 'train'?"),
        ("hub", {"split": "xyz"}, "it has no split 'xyz'. Known: malay, test, train"),
        ("numbers", {"split": "train"}, "it has no split 'train'; it has no splits, so leave out `split`"),
        ("numbers/1.parquet", {"split": "train"}, "it is one table, so it has no splits; leave out `split`"),
        ("numbers", {"name": "en"}, "it is a local path, which has no `name`; leave that out"),
        ("numbers", {"name": "en", "revision": "main"}, "has no `name` and no `revision`"),
    ],
)  # fmt: skip
def test_a_path_that_names_no_shards_is_one_error(
    place: Path, path: str, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(RecordError) as error:
        found(place, path, **options)
    assert reason in error.value.reason
    assert "\n" not in str(error.value)


def test_missing_shards_are_named(place: Path) -> None:
    with pytest.raises(
        RecordError, match=r"12 of its shards do not exist: .*/012\.tar, .* and 7 more"
    ):
        found(place, "tars/{000..023}.tar")


def test_a_saved_folder_is_one_shard(tmp_path: Path) -> None:
    rows = Dataset.from_list([{"id": "1"}])
    rows.save_to_disk(tmp_path / "saved")
    DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    assert found(tmp_path, "saved") == ["saved"]
    assert found(tmp_path, "both", split="test") == ["both/test"]
    with pytest.raises(RecordError, match="no split 'tset'. Did you mean 'test'?"):
        found(tmp_path, "both", split="tset")
    with pytest.raises(RecordError, match="it is one table, so it has no splits"):
        found(tmp_path, "saved", split="train")
    with pytest.raises(RecordError, match="several splits: test, train"):
        found(tmp_path, "both")


def test_records_of_several_shards_are_read_by_index_and_in_order(tmp_path: Path) -> None:
    expected = []
    for shard, count in enumerate([3, 0, 2]):
        rows = [row(f"{shard}-{number}") for number in range(count)]
        expected += [values["id"] for values in rows]
        folder = tmp_path / f"part={shard}"
        folder.mkdir()
        (folder / "a.jsonl").write_text("".join(json.dumps(values) + "\n" for values in rows))
    dataset = pickle.loads(pickle.dumps(RecordDataset(tmp_path)))
    assert [record.id for _, record in read_records(tmp_path)] == expected
    assert [dataset[index][1].id for index in range(len(dataset))] == expected
    assert [dataset[index][1].id for index in (-1, 0, 3)] == ["2-1", "0-0", "2-0"]
    assert dataset[3][0] == f"{tmp_path}/part=2/a.jsonl:1"
    assert [dataset.root(index).name for index in (0, 2, 3, -1)] == [
        *("part=0", "part=0", "part=2", "part=2")
    ]
    assert RecordDataset(tmp_path, root="x").root(0) == Path("x")
    stream = RecordStream(find_shards(tmp_path).shards, readers=2)
    places = [place for number in range(3) for row in stream.rows(number, 0) for place in row]
    assert all(isinstance(place, RecordPlace) for place in places)
    found = [place for place in places if isinstance(place, RecordPlace)]
    assert [stream.record(place)[1].id for place in found] == expected
    assert [stream.root_of(place.file).name for place in found][-1] == "part=2"


def test_a_shard_that_changed_while_it_was_read_is_one_error(tmp_path: Path) -> None:
    for shard in range(2):
        rows = [row(f"{shard}-{number}") for number in range(3)]
        (tmp_path / f"{shard}.jsonl").write_text(
            "".join(json.dumps(values) + "\n" for values in rows)
        )
    dataset = RecordDataset(tmp_path)
    (tmp_path / "1.jsonl").write_text(json.dumps(row("new")) + "\n")
    assert dataset[1][1].id == "0-1"
    with pytest.raises(RecordError) as error:
        dataset[5]
    assert error.value.where == f"{tmp_path}/1.jsonl:3"


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda tar: _add(tar, "b.jpg", tarfile.SYMTYPE), "'b.jpg' is a link or no plain file"),
        (lambda tar: _add(tar, "/etc/a.txt"), "the name '/etc/a.txt' leads out of it"),
        (lambda tar: _add(tar, "../a.txt"), "the name '../a.txt' leads out of it"),
    ],
)
def test_a_tar_shard_with_what_must_not_be_in_it_is_one_error(
    tmp_path: Path, break_it: Callable[[tarfile.TarFile], None], reason: str
) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        _add(tar, "a.txt")
        break_it(tar)
    with pytest.raises(RecordError, match=reason) as error:
        list(open_rows(path))
    assert str(path) in error.value.where


def test_a_tar_shard_that_is_cut_off_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(3):
            _add(tar, f"{number}.txt")
    data = path.read_bytes()
    for kept in (0, 100, 512, 700, 1024, 1600, 2048, 3072):
        path.write_bytes(data[:kept])
        with pytest.raises(RecordError, match="damaged, cut off or compressed"):
            list(open_rows(path))


def _add(tar: tarfile.TarFile, name: str, type: bytes = tarfile.REGTYPE) -> None:
    info = tarfile.TarInfo(name)
    info.type = type
    info.size = 1 if type == tarfile.REGTYPE else 0
    tar.addfile(info, io.BytesIO(b"x"))


def row(name: str) -> dict[str, Any]:
    """Return a row of text in our own format."""
    turns = [("user", "Why?"), ("assistant", "So.")]
    messages = [{"role": r, "content": [{"type": "text", "text": t}]} for r, t in turns]
    return {"id": name, "messages": messages}
