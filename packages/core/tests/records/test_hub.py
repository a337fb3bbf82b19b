"""Data sets of the Hub, read from a local server that speaks its API."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from data_hub import DataHub, data_hub, instead_of_the_hub_of_data
from mmmodal.cli.main import run
from mmmodal.contracts.record import MediaRef
from mmmodal.errors import MediaError, RecordError
from mmmodal.media import Limits
from mmmodal.media.reading import read_media
from mmmodal.media.source import find_source
from mmmodal.parts import find
from mmmodal.records.dataset import RecordDataset, read_records
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


# Media beside the rows


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def tar(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{name}.png")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def captions(*names: str) -> bytes:
    rows = [{"image": name, "caption": name} for name in names]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


RED, BLUE = picture("red"), picture("blue")
MEDIA = ("../images/1.png", "near.png", "../tars/0.tar::a.png")
BESIDE = {
    "data/train.jsonl": captions(*MEDIA),
    "data/near.png": BLUE,
    "images/1.png": RED,
    "images/2.png": b"never read",
    "tars/0.tar": tar(a=RED),
}
GONE = "hf://datasets/lab/beside@{commit}/data/none.png: it has no such file; correct the path"


@pytest.fixture(scope="module")
def commit(server: DataHub) -> str:
    """Return the commit of a data set whose rows name media of it."""
    return server.add("lab/beside", BESIDE)


def read(ref: MediaRef, root: Path) -> Any:
    modality = find("modalities", "image").part()
    return read_media(modality, ref.address, root=root)


def test_media_of_the_same_data_set_are_fetched_when_they_are_read(
    hub: DataHub, commit: str
) -> None:
    shards = find_shards("lab/beside")
    records = pickle.loads(pickle.dumps(RecordDataset(shards)))

    refs = [records[index][1].media[0] for index in range(len(records))]

    assert hub.downloads == ["data/train.jsonl"]
    at = f"hf://datasets/lab/beside@{commit}/"
    assert [ref.uri for ref in refs] == [
        f"{at}images/1.png", f"{at}data/near.png", f"{at}tars/0.tar::a.png"
    ]  # fmt: skip
    for ref, colour in zip(refs, [(255, 0, 0), (0, 0, 255), (255, 0, 0)], strict=True):
        assert read(ref, records.root(0)).getpixel((0, 0)) == colour
        read(ref, records.root(0))
    assert hub.downloads[1:] == ["images/1.png", "data/near.png", "tars/0.tar"]


def test_media_beside_the_rows_are_checked_and_written(
    hub: DataHub, commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "check", "lab/beside"]) == 0
    assert run(["data", "convert", "lab/beside", "out.jsonl"]) == 1
    assert "its medium is on the Hub" in capsys.readouterr().err

    assert run(["data", "convert", "lab/beside", "out.parquet", "--media", "embed"]) == 0

    sources = [record.media[0].held for _, record in read_records(tmp_path / "out.parquet")]
    assert [each and each.read_bytes(Limits()) for each in sources] == [RED, BLUE, RED]
    assert [each and each.name for each in sources] == ["images/1.png", "data/near.png", "a.png"]


def test_a_root_on_this_machine_comes_first(
    hub: DataHub, commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "near.png").write_bytes(RED)

    assert run(["data", "check", "lab/beside", "--root", str(tmp_path)]) == 1

    told = capsys.readouterr().out
    assert "train.jsonl:1: medium 0: ../images/1.png: it is outside of the media root" in told
    assert "train.jsonl:2" not in told
    assert hub.downloads == ["data/train.jsonl"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.png", GONE),
        ("../../1.png", "../../1.png: it is outside of the media root"),
        ("/etc/passwd", "/etc/passwd: it is outside of the media root"),
        ("hf://datasets/lab/one/a.png", "hf://datasets/lab/one/a.png: hf: URLs are not downloaded"),
        ("../images/2.png", "hf://datasets/lab/beside@{commit}/images/2.png: "),
        ("../images", "hf://datasets/lab/beside@{commit}/images: it has no such file"),
    ],
)
def test_a_medium_that_cannot_be_fetched_is_one_error_of_its_row(
    hub: DataHub, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.add("lab/beside", {**BESIDE, "data/train.jsonl": captions(name, "near.png")})

    assert run(["data", "check", "lab/beside"]) == 1

    wrong, summary = capsys.readouterr().out.splitlines()
    assert f"train.jsonl:1: medium 0: {reason.format(commit=commit)}" in wrong
    assert summary == "2 records, 1 error"


def test_media_are_read_offline_if_they_are_cached(
    hub: DataHub,
    commit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shards = find_shards("hf://datasets/lab/beside", revision=commit)
    records = RecordDataset(shards)
    first, second = (records[index][1].media[0] for index in (0, 1))
    read(first, records.root(0))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    read(first, records.root(0))

    with pytest.raises(MediaError, match=r"HF_HUB_OFFLINE is set.*go online"):
        read(second, records.root(0))


def test_a_folder_of_the_cache_holds_media_of_the_data_set(
    hub: DataHub, commit: str, tmp_path: Path
) -> None:
    shards = find_shards("hf://datasets/lab/beside", revision=commit)
    (record, *_) = (record for _, record in read_records(shards))
    read(record.media[0], Path())
    folder = shards.paths()[0].parents[1]
    (tmp_path / "secret.png").write_bytes(RED)

    assert find_source("images/1.png", root=folder, limits=Limits()).read_bytes(Limits()) == RED

    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    for path in ("link.png", "../../blobs/x", "images/../../../../secret.png"):
        with pytest.raises(MediaError, match=r"it is outside of the media root"):
            find_source(path, root=folder, limits=Limits())
