"""The contents of data files are told apart without reading all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmmodal.records.contents import digests
from mmmodal.records.shard import LocalShard


@pytest.mark.parametrize("size", [1, 70_000, 4_000_000])
@pytest.mark.parametrize("share", [0.0, 0.37, 0.999])
def test_one_other_byte_is_another_content(tmp_path: Path, size: int, share: float) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(size))
    before = digests([LocalShard(path)])
    changed = bytearray(size)
    changed[int(share * size)] = 1
    path.write_bytes(changed)
    assert digests([LocalShard(path)]) != before


def test_a_copy_has_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}")
    before = digests([LocalShard(path)])
    os.utime(path, (1, 1))
    assert digests([LocalShard(path)]) == before


def test_the_files_of_a_folder_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    assert digests([LocalShard(tmp_path)]).keys() == {str(tmp_path / "a"), str(tmp_path / "b")}
