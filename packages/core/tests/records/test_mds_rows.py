"""MDS shards: rows that MosaicML's writer wrote, every encoding, and damaged shards."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mds_shards import write_shard
from mmmodal.errors import RecordError
from mmmodal.media import Limits, Source
from mmmodal.records.files import open_rows
from mmmodal.records.shards import find_shards

WRITTEN = Path(__file__).parents[1] / "data/mds"
"""Two rows that `streaming.MDSWriter` 0.13 wrote."""


def plain(value: Any) -> Any:
    """Return a value with its media as bytes."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.read_bytes(Limits()) if isinstance(value, Source) else value


def test_rows_of_the_writer_of_the_format_are_read() -> None:
    (shard,) = find_shards(WRITTEN).shards
    first, second = pickle.loads(pickle.dumps(open_rows(shard.path())))
    assert (first.number, first.where, second.done) == (1, f"{WRITTEN}/shard.00000.mds:1", 1.0)
    values = second.read()
    pictures = [values.pop(name) for name in ("picture", "drawing")] + values.pop("pictures")
    heads = [picture.read_bytes(Limits())[:4] for picture in pictures]
    assert heads == [b"\xff\xd8\xff\xe0", b"\x89PNG", b"\x89PNG"]
    assert pictures[-1].origin == f"{WRITTEN}/shard.00000.mds:2 pictures.0"
    assert plain(values.pop("clip")) == b"RIFF\1"
    assert values == {
        "question": "Apa ini 1? é", "turns": {"a": [1, None]}, "number": -1, "score": 1.5,
        "tiny": 1, "digits": 10**20 + 1, "wave": [0.0, 1.0], "grid": [[0, 1, 2], [3, 4, 5]],
        "any": [[1, 1]],
    }  # fmt: skip


LIST = struct.pack("<IIII", 0, 2, 1, 2) + b"abb"
ARRAY = np.arange(6, dtype="<u2")


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("bytes", b"\0\1", b"\0\1"),
        ("jpeg", b"a", b"a"),
        ("png", b"a", b"a"),
        ("list[jpeg]", LIST, [b"a", b"bb"]),
        ("list[png]", struct.pack("<II", 0, 0), []),
        ("jpeg_array", LIST[4:], [b"a", b"bb"]),
        ("jpegarray", LIST[4:], [b"a", b"bb"]),
        ("str", "é".encode(), "é"),
        ("str", b"", ""),
        ("str_int", b"12", 12),
        ("str_float", b"1.5", 1.5),
        ("str_decimal", b"1.25", 1.25),
        ("json", b'{"a": [1]}', {"a": [1]}),
        ("int", struct.pack("<q", -5), -5),
        *[(f"int{8 * 2**n}", (-3).to_bytes(2**n, "little", signed=True), -3) for n in range(4)],
        *[(f"uint{8 * 2**n}", (3).to_bytes(2**n, "little"), 3) for n in range(4)],
        *[(f"float{n}", np.array(0.5, f"<f{n // 8}").tobytes(), 0.5) for n in (16, 32, 64)],
        ("ndarray:uint16:2,3", ARRAY.tobytes(), [[0, 1, 2], [3, 4, 5]]),
        ("ndarray:uint16", b"\x08\2\3" + ARRAY.tobytes(), [[0, 1, 2], [3, 4, 5]]),
        ("ndarray:uint16", b"\x05\6\0" + ARRAY.tobytes(), [0, 1, 2, 3, 4, 5]),
        ("ndarray", b"\x10\x08\2\3" + ARRAY.tobytes(), [[0, 1, 2], [3, 4, 5]]),
    ],
)
def test_a_value_of_each_encoding_is_read(
    tmp_path: Path, encoding: str, data: bytes, expected: Any
) -> None:
    path = write_shard(tmp_path / "a.mds", {"x": encoding, "y": "str"}, [{"x": data, "y": b"."}])
    (row,) = open_rows(path)
    assert {key: plain(value) for key, value in row.read().items()} == {"x": expected, "y": "."}


@pytest.mark.parametrize("number", [1, 2, 3, 7, 100])
def test_parts_hold_each_row_once(tmp_path: Path, number: int) -> None:
    rows = [{"x": f"{index}".encode()} for index in range(7)]
    source = open_rows(write_shard(tmp_path / "a.mds", {"x": "str"}, rows))
    spans = source.spans(number)
    assert len(spans) == min(number, 7)
    parts = [row for span in spans for row in source.within(span)]
    assert [row.read()["x"] for row in parts] == list("0123456")
    assert [source.read(row.position, row.where)["x"] for row in parts] == list("0123456")


@pytest.mark.parametrize(
    ("encoding", "data", "reason"),
    [
        ("pkl", b"x", "pickles run code when they are read; write the column as json"),
        ("pil", b"x", "raw pixels are not read; write the column as jpeg or png"),
        ("list[pil]", b"x", "raw pixels are not read"),
        ("video", b"x", "this encoding is unknown; write the column as json"),
        ("str", b"\xff", "not UTF-8 text"),
        ("json", b"{", "JSON"),
        ("json", b"NaN", "NaN"),
        ("int", b"123", "the row is damaged"),
        ("str_int", b"x", "the row is damaged"),
        ("list[png]", LIST[:-1], "the row is damaged"),
        ("list[png]", LIST[:7], "the row is damaged"),
        ("jpeg_array", b"\xff\xff\xff\xff", "the row is damaged"),
        ("ndarray", b"\x07\x05\1x", "the row is damaged"),
        ("ndarray", b"", "the row is damaged"),
        ("ndarray:uint16:2,2", ARRAY.tobytes(), "the row is damaged"),
    ],
)
def test_a_value_that_cannot_be_read_is_one_error(
    tmp_path: Path, encoding: str, data: bytes, reason: str
) -> None:
    path = write_shard(tmp_path / "a.mds", {"x": encoding}, [{"x": data}])
    with pytest.raises(RecordError) as error:
        next(iter(open_rows(path))).read()
    assert error.value.where.startswith(str(path))
    assert reason in error.value.reason


def _index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        change(index)
        (folder / "index.json").write_text(json.dumps(index))

    return damage


def _shard(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "shard.00000.mds"
        path.write_bytes(change(path.read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "shard.00000.mds").unlink(), "1 of its shards do not exist: shard.00000.mds; copy them again"),
        (_shard(lambda data: data[:-1]), "and the index says"),
        (_shard(lambda data: data + b"x"), "and the index says"),
        (_index(lambda index: index.update(version=1)), "it is of version 1; only version 2 is read"),
        (_index(lambda index: index.update(shards=[])), "it lists no shards"),
        (_index(lambda index: index.update(shards="x")), "it lists no shards"),
        (_index(lambda index: index["shards"][0].pop("raw_data")), "its shard 1 is not described fully"),
        (_index(lambda index: index["shards"][0].update(format="csv")), "of the format 'csv'; only MDS is read"),
        (_index(lambda index: index["shards"][0]["raw_data"].update(basename="../a.mds")), "'../a.mds' is outside of the folder"),
        (_index(lambda index: index["shards"][0]["raw_data"].update(basename="/a.mds")), "'/a.mds' is outside of the folder"),
        (_index(lambda index: (index["shards"][0]["raw_data"].update(basename="b.mds"), index["shards"][0].update(zip_data={"basename": "b.mds.zstd", "bytes": 1}, compression="zstd"))), "its shards are compressed (zstd); decompress them"),
        (lambda folder: (folder / "index.json").write_text('{"shards": ['), "JSON"),
    ],
)  # fmt: skip
def test_a_damaged_data_set_is_one_error(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    folder = tmp_path / "mds"
    shutil.copytree(WRITTEN, folder)
    damage(folder)
    with pytest.raises(RecordError) as error:
        find_shards(folder)
    assert str(folder) in error.value.where
    assert reason in error.value.reason


@pytest.mark.parametrize("kept", [0, 3, 7, 12, 40, -1])
def test_a_shard_that_is_cut_off_is_one_error(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.mds"
    path.write_bytes((WRITTEN / "shard.00000.mds").read_bytes()[:kept])
    with pytest.raises(RecordError, match="damaged or cut off"):
        open_rows(path)


def test_every_damaged_byte_of_a_header_is_an_error_or_read(tmp_path: Path) -> None:
    whole = (WRITTEN / "shard.00000.mds").read_bytes()
    path = tmp_path / "a.mds"
    for place in range(400):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            for row in open_rows(path):
                row.read()
        except RecordError as error:
            assert str(path) in error.where
