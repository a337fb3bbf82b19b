"""Rows of tar shards are found in one pass, and are true to a shard that changed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from mmmodal.errors import RecordError
from mmmodal.media import Limits
from mmmodal.media import tars as media_tars
from mmmodal.records import tar_rows
from mmmodal.records.files import open_rows


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def files(number: int) -> dict[str, bytes]:
    return {
        name: data
        for n in range(number)
        for name, data in (
            (f"d/{n}.json", json.dumps({"n": n}).encode()),
            (f"d/{n}.0.jpg", f"picture {n}".encode()),
        )
    }


def test_rows_are_read_again_and_their_media_without_another_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_rows(shard(tmp_path / "a.tar", files(20)))
    rows = [(row.position, row.where, row.read()) for row in source]
    monkeypatch.setattr(tar_rows, "members", None)
    monkeypatch.setattr(media_tars, "members", None)
    for position, where, values in reversed(rows):
        again = source.read(position, where)
        assert again == values
        assert again["0.jpg"].read_bytes(Limits()) == f"picture {values['json']['n']}".encode()


def test_a_row_is_read_alone_in_a_process_that_knows_none(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", files(20))
    rows = [(row.position, row.where, row.read()) for row in open_rows(path)]
    fresh = open_rows(path)
    position, where, values = rows[13]
    assert fresh.read(position, where) == values
    next(iter(fresh))  # begins another pass
    assert fresh.read(*rows[5][:2]) == rows[5][2]


def test_a_medium_of_a_shard_that_changed_is_found_by_its_name(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", files(3))
    *_, last = [row.read() for row in open_rows(path)]
    shard(path, {"first.txt": b"x" * 5000, **files(3)})
    assert last["0.jpg"].read_bytes(Limits()) == b"picture 2"


def test_a_cut_shard_is_one_error_before_any_row_is_read(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", files(5))
    path.write_bytes(path.read_bytes()[: 512 * 13])
    with pytest.raises(RecordError, match="cut off"):
        next(iter(open_rows(path)))
