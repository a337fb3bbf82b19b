"""Members of tar files are read where they lie, and a bad tar file is one clear error."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from mmmodal.errors import MediaError
from mmmodal.media import Limits, open_source

LIMITS = Limits(file_bytes=10_000)
FILES = {"1.jpg": b"first", "folder/2.jpg": b"second" * 300, "3.txt": b"third"}


def write_tar(
    path: Path, files: dict[str, bytes] = FILES, format: int = tarfile.PAX_FORMAT
) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_read_where_they_lie(tmp_path: Path, format: int) -> None:
    write_tar(tmp_path / "a.tar", format=format)
    for name, data in FILES.items():
        source = open_source(f"a.tar::{name}", root=tmp_path, limits=LIMITS)
        assert source.read_bytes(LIMITS) == data
        assert source.sha256() == hashlib.sha256(data).hexdigest()
        with source.held(LIMITS) as held, held.open(LIMITS) as file:
            assert file.read(3) == data[:3]
            assert file.seek(-2, os.SEEK_END) == len(data) - 2
            assert file.read() == data[-2:]


def test_a_long_name_and_one_with_a_leading_dot_are_found(tmp_path: Path) -> None:
    long = f"{'folder/' * 30}1.jpg"
    write_tar(tmp_path / "a.tar", {long: b"long", "./dot/1.jpg": b"dot"})
    for name, data in {long: b"long", "dot/1.jpg": b"dot"}.items():
        assert (
            open_source(f"a.tar::{name}", root=tmp_path, limits=LIMITS).read_bytes(LIMITS) == data
        )


def test_a_tar_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar")
    assert open_source("a.tar::1.jpg", root=tmp_path, limits=LIMITS).read_bytes(LIMITS) == b"first"
    write_tar(tmp_path / "a.tar", {"0.jpg": b"x" * 5000, "1.jpg": b"other"})
    assert open_source("a.tar::1.jpg", root=tmp_path, limits=LIMITS).read_bytes(LIMITS) == b"other"


def special(tmp_path: Path, kind: bytes, name: str = "1.jpg") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(info)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    special(tmp_path, kind)
    assert "link or no plain file" in refusal("a.tar::1.jpg", tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.jpg", "a/../../secret.jpg"])
def test_names_that_lead_out_of_a_tar_file_are_refused(tmp_path: Path, name: str) -> None:
    write_tar(tmp_path / "a.tar", {name: b"data"})
    assert "leads out of it" in refusal(f"a.tar::{name}", tmp_path)


def test_a_tar_file_outside_of_the_root_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar")
    (tmp_path / "root").mkdir()
    assert "outside of the media root" in refusal("../a.tar::1.jpg", tmp_path / "root")


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar")
    assert refusal("a.tar::9.jpg", tmp_path) == (
        "a.tar::9.jpg: the tar file has no member '9.jpg'; correct the name"
    )


def test_a_member_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"1.jpg": b"x" * 10_001, "2.jpg": b"y"})
    assert "10,001 bytes exceed the limit" in refusal("a.tar::1.jpg", tmp_path)
    assert open_source("a.tar::2.jpg", root=tmp_path, limits=LIMITS)  # the whole tar may be larger


@pytest.mark.parametrize("kept", [0, 1, 300, 512, 515, 1000, 1024, 2000, 2900, 3600])
def test_a_tar_file_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    whole = write_tar(tmp_path / "a.tar").read_bytes()
    end = len(whole.rstrip(b"\0")) + 512
    assert kept < end
    (tmp_path / "a.tar").write_bytes(whole[:kept])
    assert "damaged, cut off or compressed" in refusal("a.tar::1.jpg", tmp_path)


def test_a_compressed_tar_file_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.add(__file__, "1.jpg")
    assert "compressed" in refusal("a.tar::1.jpg", tmp_path)


def refusal(uri: str, root: Path) -> str:
    with pytest.raises(MediaError) as info:
        open_source(uri, root=root, limits=LIMITS)
    return str(info.value)
