"""Data sets of the Hub, read from a local server that speaks its API."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from data_hub import DataHub, data_hub, instead_of_the_hub_of_data
from mmmodal.errors import RecordError
from mmmodal.records.files import open_rows
from mmmodal.records.shards import find_shards


def parquet(*ids: str) -> bytes:
    """Return a Parquet file of rows with ids."""
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": list(ids)}), out)
    return out.getvalue()


def lines(*ids: str) -> bytes:
    """Return JSON lines of rows with ids."""
    return "".join(f'{{"id": "{each}"}}\n' for each in ids).encode()


CONFIGS = b"""---
configs:
- config_name: ms
  data_files:
  - split: train
    path: ms/*.jsonl
- config_name: en
  data_files:
  - split: train
    path: en/a-*.jsonl
  - split: test
    path: [en/b.jsonl]
---
# Scenes
"""
SETS: dict[str, dict[str, bytes]] = {
    "lab/scenes": {
        "README.md": b"# Scenes\n",
        "data/train-00000-of-00002.parquet": parquet("a", "b"),
        "data/train-00001-of-00002.parquet": parquet("c"),
        "data/test-00000-of-00001.parquet": parquet("d"),
    },
    "lab/one": {"captions.jsonl": lines("a")},
    "lab/many": {
        "README.md": CONFIGS,
        "ms/0.jsonl": lines("m"),
        "en/a-2.jsonl": lines("e2"),
        "en/a-10.jsonl": lines("e10"),
        "en/b.jsonl": lines("t"),
    },
    "lab/tars": {f"shards/{number:03}.tar": b"" for number in range(12)},
    "lab/script": {"script.py": b"raise SystemExit('run')", "rows.jsonl": lines("s")},
    "lab/pictures": {"a.png": b"x", "b.png": b"y"},
    "lab/mds": {"index.json": b'{"version": 2, "shards": []}', "shard.00000.mds": b""},
    "lab/empty": {".gitattributes": b""},
    "lab/secret": {"rows.jsonl": lines("s")},
    "lab/terms": {"rows.jsonl": lines("s")},
}


@pytest.fixture(scope="module")
def server() -> Iterator[DataHub]:
    with data_hub() as running:
        for name, files in SETS.items():
            running.add(name, files)
        running.private.add("lab/secret")
        running.gated.add("lab/terms")
        yield running


@pytest.fixture
def hub(server: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    monkeypatch.chdir(tmp_path)
    server.downloads.clear()
    with instead_of_the_hub_of_data(server, tmp_path / "cache"):
        yield server


def files(path: str, **options: Any) -> list[str]:
    """Return the files of the shards of a path."""
    return [shard.name.partition("@")[2][41:] for shard in find_shards(path, **options).shards]


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("lab/scenes", {"split": "train"}, ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("hf://datasets/lab/scenes", {"split": "test"}, ["data/test-00000-of-00001.parquet"]),
        ("hf://datasets/lab/scenes@main", {"split": "test"}, ["data/test-00000-of-00001.parquet"]),
        ("hf://datasets/lab/scenes/data/train-*.parquet", {}, ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("hf://datasets/lab/scenes/**/*.parquet", {"split": "test"}, ["data/test-00000-of-00001.parquet"]),
        ("hf://datasets/lab/scenes/data", {"split": "test"}, ["data/test-00000-of-00001.parquet"]),
        ("hf://datasets/lab/scenes/data/test-00000-of-00001.parquet", {}, ["data/test-00000-of-00001.parquet"]),
        ("lab/one", {}, ["captions.jsonl"]),
        ("lab/one", {"split": "train"}, ["captions.jsonl"]),
        ("lab/many", {"name": "ms"}, ["ms/0.jsonl"]),
        ("lab/many", {"name": "en", "split": "train"}, ["en/a-2.jsonl", "en/a-10.jsonl"]),
        ("lab/many", {"name": "en", "split": "test"}, ["en/b.jsonl"]),
        ("hf://datasets/lab/tars/shards/{009..011}.tar", {}, ["shards/009.tar", "shards/010.tar", "shards/011.tar"]),
        ("hf://datasets/lab/tars/shards", {}, [f"shards/{n:03}.tar" for n in range(12)]),
        ("lab/mds", {}, ["shard.00000.mds"]),
    ],
)  # fmt: skip
def test_a_data_set_of_the_hub_names_its_shards(
    hub: DataHub, path: str, options: dict[str, str], expected: list[str]
) -> None:
    assert files(path, **options) == expected


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("lab/scenes", {}, "it holds several splits: test, train; name one by `split`"),
        ("lab/scenes", {"split": "tran"}, "it has no split 'tran'. Did you mean 'train'?"),
        ("lab/many", {}, "it has several configurations: ms, en; name one by `name`"),
        ("lab/many", {"name": "me"}, "it has no configuration 'me'"),
        ("lab/many", {"name": "en"}, "it holds several splits: test, train"),
        ("lab/scenes", {"revision": "none"}, "it has no revision 'none'; name a branch, tag or commit"),
        ("hf://datasets/lab/scenes@none", {}, "it has no revision 'none'"),
        ("hf://datasets/lab/scenes@main", {"revision": "first"}, "it names the revision 'main', and `revision` is 'first'"),
        ("lab/none", {}, "there is no such data set on the Hub, nor a local path of this name, or it is private"),
        ("lab/secret", {}, "or it is private; check the name, or log in by `hf auth login`"),
        ("lab/terms", {}, "it is gated; accept its terms on its page, and log in by `hf auth login`"),
        ("lab/script", {}, "no script of a data set is run"),
        ("lab/pictures", {}, "has no shards (Parquet, JSON, CSV, TSV, tar, Arrow or MDS files)"),
        ("lab/empty", {}, "has no shards (Parquet, JSON, CSV, TSV, tar, Arrow or MDS files)"),
        ("hf://datasets/lab/scenes/data/*.tar", {}, "it has no data/*.tar; it holds README.md, data/"),
        ("hf://datasets/lab/tars/shards/{011..012}.tar", {}, "it has no shards/012.tar; it holds"),
        ("hf://datasets/lab/scenes/data", {}, "it holds several splits: test, train"),
        ("hf://datasets/lab/scenes/data", {"name": "en"}, "`name` is for whole data sets; leave it out"),
        ("hf://datasets/lab", {}, "write hf://datasets/namespace/name, then @revision and /files if you like"),
        ("hf://lab/scenes", {}, "write hf://datasets/namespace/name"),
        ("hf://datasets/lab/sc enes", {}, "write hf://datasets/namespace/name"),
    ],
)  # fmt: skip
def test_a_data_set_that_cannot_be_named_is_one_error(
    hub: DataHub, path: str, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(RecordError) as error:
        files(path, **options)
    assert reason in error.value.reason
    assert "\n" not in str(error.value)


def test_shards_are_downloaded_one_by_one_and_once(hub: DataHub) -> None:
    found = find_shards("lab/scenes", split="train")
    assert not [name for name in hub.downloads if name.endswith(".parquet")]
    first, second = pickle.loads(pickle.dumps(found.shards))
    assert [row.read()["id"] for row in open_rows(first.path())] == ["a", "b"]
    assert [row.read()["id"] for row in open_rows(first.path())] == ["a", "b"]
    assert hub.downloads.count("data/train-00000-of-00002.parquet") == 1
    assert "data/train-00001-of-00002.parquet" not in hub.downloads
    assert [row.read()["id"] for row in open_rows(second.path())] == ["c"]


def test_the_commit_is_noted_and_kept(hub: DataHub) -> None:
    first = hub.add("lab/moving", {"rows.jsonl": lines("old")})
    before = find_shards("lab/moving")
    second = hub.add("lab/moving", {"rows.jsonl": lines("new")})
    assert dict(before.notes) == {"revision": first}
    for shards, expected in [
        (before, "old"),
        (find_shards("lab/moving"), "new"),
        (find_shards("lab/moving", revision=first), "old"),
        (find_shards("hf://datasets/lab/moving@first"), "old"),
        (find_shards(f"hf://datasets/lab/moving@{second}"), "new"),
    ]:
        (row,) = open_rows(shards.shards[0].path())
        assert row.read()["id"] == expected


def test_a_local_path_wins(hub: DataHub, tmp_path: Path) -> None:
    (tmp_path / "lab/one").mkdir(parents=True)
    (tmp_path / "lab/one/local.jsonl").write_bytes(lines("l"))
    assert [shard.path() for shard in find_shards("lab/one").shards] == [
        Path("lab/one/local.jsonl")
    ]
    assert files("hf://datasets/lab/one") == ["captions.jsonl"]
    with pytest.raises(RecordError, match="no such file; check its name"):
        find_shards("lab/scenes")
    with pytest.raises(RecordError, match="no such file; check its name"):
        find_shards("data/train.parquet")


def test_offline_is_one_error_that_says_what_is_cached(
    hub: DataHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, second) = find_shards("lab/scenes", split="train").shards
    cached = first.path()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert first.path() == cached
    with pytest.raises(RecordError) as error:
        find_shards("lab/scenes", split="train")
    assert error.value.where == "hf://datasets/lab/scenes"
    assert (
        "the Hub cannot be reached (HF_HUB_OFFLINE is set); 1 of its shards are cached"
        in error.value.reason
    )
    assert str(cached.parents[1]) in error.value.reason
    with pytest.raises(RecordError, match="cannot be reached .HF_HUB_OFFLINE is set"):
        second.path()
    with pytest.raises(
        RecordError, match="nothing of it is cached; go online, or name a local path"
    ):
        find_shards("lab/one")


def test_no_network_is_one_error(hub: DataHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        RecordError, match=r"the Hub cannot be reached \(ConnectError\), and nothing of it"
    ):
        find_shards("lab/scenes", split="train")


def test_the_token_of_the_user_opens_private_data(
    hub: DataHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "good")
    for name in ("lab/secret", "lab/terms"):
        (shard,) = find_shards(name).shards
        assert [row.read()["id"] for row in open_rows(shard.path())] == ["s"]
