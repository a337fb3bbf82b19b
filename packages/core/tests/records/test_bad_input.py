"""Bad data sets: each fault is one clear error with its shard and row, or is skipped and counted."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from mmmodal.errors import RecordError
from mmmodal.records.checker import Checker
from mmmodal.records.dataset import RecordDataset, scan
from mmmodal.records.stream import RecordStream


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


RED, BLUE = picture("red"), picture("blue")
HELD = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
SOUND = pyarrow.struct(
    {"array": pyarrow.list_(pyarrow.float32()), "sampling_rate": pyarrow.int64()}
)
LISTS = pyarrow.list_(HELD)
GOOD = {"bytes": RED, "path": "good.png"}

Build = Callable[[Path], object]
"""A function that writes the data set `bad` into a folder, whose name may have any ending."""


def table(kind: pyarrow.DataType, *values: Any, key: str = "image", text: str = "caption") -> Build:
    """Return what writes a Parquet file of media with captions."""
    rows = [{key: value, text: "A dog."} for value in values]
    schema = pyarrow.schema({key: kind, text: pyarrow.string()})
    made = pyarrow.Table.from_pylist(rows, schema=schema)
    return lambda folder: pyarrow.parquet.write_table(made, folder / "bad.parquet")


def lines(*images: Any) -> Build:
    """Return what writes JSON lines of media with captions."""
    text = "".join(json.dumps({"image": each, "caption": "A dog."}) + "\n" for each in images)
    return lambda folder: (folder / "bad.jsonl").write_text(text)


def held(name: str, content: bytes | str) -> Build:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def shard(
    *members: tuple[str, bytes], links: Mapping[str, bytes] | None = None, format: int = 2
) -> bytes:
    """Return a tar file; `links` are the types of members without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, type in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type, "1.png"
            tar.addfile(info)
    return out.getvalue()


def pair(key: str, ending: str = "png") -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return (f"{key}.{ending}", RED), (f"{key}.txt", b"A dog.\n")


def tar(*members: tuple[str, bytes], **more: Any) -> Build:
    return held("bad.tar", shard(*members, **more))


def several_columns(folder: Path) -> None:
    made = pyarrow.table([["good.png"], ["a"], ["b"]], ["image", "caption", "caption"])
    pyarrow.parquet.write_table(made, folder / "bad.parquet")


def parquet_bytes(kept: float) -> bytes:
    out = io.BytesIO()
    made = pyarrow.Table.from_pylist([{"image": GOOD, "caption": "A dog."}] * 9)
    pyarrow.parquet.write_table(made, out)
    data = out.getvalue()
    return data[: int(len(data) * kept)]


NEITHER = "'image' has neither bytes nor a path; fill it, or leave out the row"
OUTSIDE = "it is outside of the media root; move the file under the root, or change the root"
NO_FORMAT = "no format has its keys ("
CASES: dict[str, tuple[Build, Sequence[str], int]] = {
    # Structs of bytes and paths
    "neither bytes nor a path": (table(HELD, {"bytes": None, "path": None}, GOOD), [f":1: {NEITHER}"], 1),
    "both, and different": (table(HELD, GOOD, {"bytes": BLUE, "path": "good.png"}), [":2: medium 0: @:2 image (good.png): the file of this name has other bytes than the row; remove one"], 2),
    "a path that leaves the root": (table(HELD, {"bytes": None, "path": "../a.png"}, GOOD), [f":1: medium 0: ../a.png: {OUTSIDE}"], 2),
    "an absolute path": (table(HELD, {"bytes": None, "path": "/etc/passwd"}, GOOD), [f":1: medium 0: /etc/passwd: {OUTSIDE}"], 2),
    "no such file": (table(HELD, {"bytes": None, "path": "no.png"}), [":1: medium 0: no.png: no such file; check the name and the folder (relative paths begin in "], 1),
    "no bytes": (table(HELD, {"bytes": b"", "path": None}, GOOD), [":1: medium 0: @:1 image: it holds no data (0 bytes); replace it"], 2),
    "bytes of no picture": (table(pyarrow.binary(), b"abc" * 50, RED), [":1: medium 0: @:1 image: not an image of a known format"], 2),
    "null": (table(HELD, None, GOOD), [f":1: {NO_FORMAT}'caption')"], 1),
    "null in a list": (table(LISTS, [GOOD], [GOOD, None], [None], []), [":2: 'image': one of its media is null", ":3: 'image': one of its media is null", ":4: it has no medium to describe; name one"], 1),
    "lists in lists": (table(pyarrow.list_(LISTS), [[GOOD]]), [":1: 'image': give a path or a list of paths"], 0),
    "pixels": (table(pyarrow.list_(pyarrow.list_(pyarrow.uint8())), [[1, 2], [3, 4]]), [":1: 'image': give a path or a list of paths"], 0),
    # Sound that is decoded
    "decoded sound": (table(SOUND, {"array": [0.0, 0.1] * 999, "sampling_rate": 16000}, key="audio", text="sentence"), [], 1),
    "decoded sound without a rate": (table(SOUND, {"array": [0.0] * 999, "sampling_rate": None}, key="audio", text="sentence"), [":1: 'audio': samples must be one or two lists of numbers, with their rate"], 0),
    "decoded sound of no numbers": (table(SOUND, {"array": [float("nan")] * 999, "sampling_rate": 16000}, key="audio", text="sentence"), [":1: medium 0: an embedded audio: it holds samples that are not finite"], 1),
    # Mixed types in JSON
    "mixed types": (
        lines("good.png", 5, ["good.png"], {"path": "good.png"}, None, True, [None], {"bytes": None, "path": None}, [["good.png"]]),
        [":2: 'image': give a path", f":5: {NO_FORMAT}'caption')", ":6: 'image': give a path", ":7: 'image': one of its media is null", ":8: it has no medium to describe", ":9: 'image': give a path"],
        3,
    ),
    "a name that is no text": (held("bad.jsonl", b'{"image": "\xe9.png", "caption": "a"}\n{"image": "\\udce9.png", "caption": "a"}\n{"image": "good.png", "caption": "a"}\n'), [":1: not UTF-8 text (at byte 12); save the file as UTF-8", ":2: a text has half a character"], 1),
    # Members of tar files
    "members of tar files": (
        lines("good.tar::1.png", "good.tar::2.png", "none.tar::1.png", "cut.tar::1.png", "../x.tar::1.png", "good.tar::", "packed.tar::1.png"),
        [":2: medium 0: good.tar::2.png: the tar file has no member '2.png'", ":3: medium 0: none.tar::1.png: no such file", ":4: medium 0: cut.tar::1.png: the tar file is damaged, cut off or compressed", f":5: medium 0: ../x.tar: {OUTSIDE}", ":6: medium 0: good.tar::: the tar file has no member ''", ":7: medium 0: packed.tar::1.png: the tar file is damaged, cut off or compressed"],
        7,
    ),
    # Tar shards
    "two files of a name": (tar(*pair("1"), ("1.png", BLUE)), [":1: two files of '1' end in 'png'; rename one"], 0),
    "a key with dots": (tar(*pair("1.5"), *pair("2")), [":1: no installed plugin reads files that end in .5.txt; rename them, as keys have no dots"], 1),
    "hidden files": (tar(("._1.png", b"x"), *pair("1"), ("._2.png", b"x")), [":1: the name '._1.png' is not KEY.ENDING; leave the file out", ":3: the name '._2.png' is not KEY.ENDING"], 1),
    "a file without an ending": (tar(("README", b"x"), *pair("1")), [":1: the name 'README' is not KEY.ENDING; leave the file out"], 1),
    "a picture alone": (tar(("1.png", RED), *pair("2")), [f":1: {NO_FORMAT}'image')"], 1),
    "broken JSON": (tar(("1.png", RED), ("1.json", b"{x"), *pair("2")), [":1: 1.json: not valid JSON"], 1),
    "a text in Latin-1": (tar(("1.png", RED), ("1.txt", b"caf\xe9"), *pair("2")), [":1: '1.txt': not UTF-8 text (at byte 4); save it as UTF-8"], 1),
    "an empty file": (tar(("1.png", b""), ("1.txt", b"a"), *pair("2")), [":1: medium 0: @::1.png: it holds no data (0 bytes); replace it"], 2),
    "capitals and folders": (tar(*pair("./a.b/1", "PNG"), *pair("x" * 200 + "/ü")), [], 2),
    # Tables of text
    "ragged rows": (held("bad.csv", "image,caption\ngood.png\ngood.png,a,b\ngood.png,a\n"), [":2: it has 1 values, but", ":3: it has 3 values, but"], 1),
}  # fmt: skip
"""What is wrong, what writes it, the errors behind the file's name (`@`), and the records."""

WHOLE: dict[str, tuple[Build, str]] = {
    "half a Parquet file": (held("bad.parquet", parquet_bytes(0.5)), ": it is damaged or cut off (ArrowInvalid); save it again"),
    "an empty Parquet file": (held("bad.parquet", b""), ": it is not a Parquet file, or its start is damaged; save it again"),
    "a Parquet file without rows": (table(HELD), ": it has no records"),
    "columns of the same name": (several_columns, ": it has several columns of the name 'caption'; rename or remove them"),
    "an empty file": (held("bad.jsonl", b""), ": it has no records"),
    "an empty table of text": (held("bad.csv", b""), ":1: it is empty; its first line must name the columns"),
    "a table of text without rows": (held("bad.csv", b"image,caption\n"), ": it has no records"),
    "an empty Arrow file": (held("bad.arrow", b""), ": it is not an Arrow file, or its start is damaged; save it again"),
    "an empty tar": (held("bad.tar", b""), ": the tar file is damaged, cut off or compressed"),
    "a tar of nothing": (tar(), ": it has no records"),
    "half a tar": (held("bad.tar", shard(*pair("1"))[:700]), ": the tar file is damaged, cut off or compressed"),
    "a symbolic link": (tar(*pair("1"), links={"2.png": tarfile.SYMTYPE}), ": '2.png' is a link or no plain file; make the tar of regular files"),
    "a hard link": (tar(*pair("1"), links={"2.png": tarfile.LNKTYPE}), ": '2.png' is a link or no plain file"),
    "an absolute name": (tar(*pair("1"), *pair("/2")), ": the name '/2.png' leads out of it; make the tar with relative names"),
    "a name that leads out": (tar(*pair("1"), *pair("../2")), ": the name '../2.png' leads out of it"),
    "several tar files in one": (held("bad.tar", shard(*pair("1")) * 2), ": it has data after its end, as several tar files in one; separate them"),
    "files of a key apart": (tar(("1.png", RED), ("2.txt", b"b"), ("1.txt", b"a")), ": its files of the key '1' do not follow each other; make it by `tar --sort=name`"),
    "a compressed tar": (held("bad.tar.gz", gzip.compress(shard(*pair("1")))), ": it is gzip-compressed; unpack it first"),
    "compressed lines": (held("bad.jsonl.gz", gzip.compress(b"{}")), ": it is gzip-compressed; unpack it first"),
    "a picture": (held("bad.png", RED), ": it is no file of rows (it looks like an image); name another one"),
    "a pointer to a file": (held("bad.parquet", b"version https://git-lfs.github.com/spec/v1\n"), ": it is no file of rows (it looks like a Git LFS pointer; `git lfs pull` fetches"),
    "a failed download": (held("bad.jsonl", b"<!DOCTYPE html>\n<html>"), ": it is no file of rows (it looks like an HTML page, as a failed download leaves)"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.png").write_bytes(RED)
    (tmp_path / "good.tar").write_bytes(shard(*pair("1")))
    (tmp_path / "cut.tar").write_bytes(shard(*pair("1"))[:520])
    (tmp_path / "packed.tar").write_bytes(gzip.compress(shard(*pair("1"))))
    return tmp_path


def made(build: Build, folder: Path) -> Path:
    build(folder)
    (path,) = folder.glob("bad.*")
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_one_error_and_the_other_rows_are_read(case: str, folder: Path) -> None:
    build, expected, records = CASES[case]
    path = made(build, folder)

    found = [(item, error) for item, errors in Checker().check(scan(path)) for error in errors]

    told = [str(error) for _, error in found]
    assert len(told) == len(expected), told
    for line, begin in zip(told, expected, strict=True):
        assert line.startswith(f"{path}{begin.replace('@', str(path))}"), line
        assert "\n" not in line
    skipped: list[RecordError] = []
    dataset = RecordDataset(path, on_error=skipped.append)
    assert len(dataset) == records
    bad_rows = [error for item, error in found if item.error is not None]
    assert [str(error) for error in skipped] == [str(error) for error in bad_rows]
    assert dataset.skipped == len(skipped)
    stream = RecordStream([path])
    places = [each for rows in stream.rows(0, 0) for each in rows]
    assert [str(each) for each in places if isinstance(each, RecordError)] == [*map(str, skipped)]
    assert len(places) - len(skipped) == records


@pytest.mark.parametrize("case", WHOLE)
def test_a_file_that_cannot_be_read_is_one_error(case: str, folder: Path) -> None:
    build, reason = WHOLE[case]
    path = made(build, folder)
    told = f"{path}: it has no records"  # which callers say
    try:
        assert len(RecordDataset(path)) == 0
    except RecordError as error:
        told = str(error)
    scanned = told
    try:
        for item in scan(path):
            scanned = str(item.error)
    except RecordError as error:
        scanned = str(error)

    assert told.startswith(f"{path}{reason}")
    assert scanned == told


def test_a_damaged_shard_among_others_is_told_or_skipped_and_counted(tmp_path: Path) -> None:
    whole = shard(*pair("1"), *pair("2"), *pair("3"))
    shards = {"0.tar": b"none", "1.tar": whole, "2.tar": whole[:5000], "3.tar": whole}
    for name, data in shards.items():
        (tmp_path / name).write_bytes(data)
    damaged = [f"{tmp_path}/{name}: the tar file" for name in ("0.tar", "2.tar")]

    skipped: list[RecordError] = []
    dataset = RecordDataset(tmp_path, on_error=skipped.append)
    told = [each for _, errors in Checker().check(scan(tmp_path)) for each in errors]
    whole_rows = [item for item in scan(tmp_path) if item.record]

    for errors in (skipped, told):
        assert [str(each).partition(" is damaged")[0] for each in errors] == damaged
    assert dataset.skipped == 2
    assert len(dataset) == len(whole_rows) == 6
    with pytest.raises(RecordError, match=r"0\.tar: the tar file is damaged"):
        RecordDataset(tmp_path)
