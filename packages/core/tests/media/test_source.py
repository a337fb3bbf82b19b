"""Where bytes may come from, and that every refusal is one clear MediaError."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmmodal.contracts.modality import Modality
from mmmodal.errors import MediaError, RecordError
from mmmodal.media import Limits, Source, open_source, read_media

LIMITS = Limits(file_bytes=100, inline_bytes=50)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file and a folder in it, beside a secret that no reference may reach."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "rootless").mkdir()
    (tmp_path / "rootless" / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "a.txt").write_text("inside")
    return root


def refusal(
    uri: str | Path | bytes, root: Path | None = None, limits: Limits = LIMITS
) -> MediaError:
    with pytest.raises(MediaError) as caught:
        open_source(uri, root=root, limits=limits)
    assert caught.value.origin, "an error names its file"
    assert str(caught.value).isprintable()
    assert "0x" not in caught.value.reason
    return caught.value


def test_relative_path_is_read_under_the_root(root: Path) -> None:
    source = open_source("folder/../a.txt", root=root, limits=LIMITS)
    assert source.read_bytes(LIMITS) == b"inside"
    assert source.origin == "folder/../a.txt"


def test_absolute_path_is_taken_without_a_root_or_inside_it(root: Path) -> None:
    for scope in (None, root):
        source = open_source(root / "a.txt", root=scope, limits=LIMITS)
        assert source.read_text(LIMITS) == "inside"


def test_link_is_followed_as_long_as_it_stays_inside(root: Path) -> None:
    (root / "link").symlink_to("a.txt")
    (root / "away").symlink_to(root / "folder")
    (root / "folder" / "b.txt").write_text("b")
    assert open_source("link", root=root, limits=LIMITS).read_bytes(LIMITS) == b"inside"
    assert open_source("away/b.txt", root=root, limits=LIMITS).read_bytes(LIMITS) == b"b"


def test_root_may_itself_be_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    alias = root.parent / "alias"
    assert open_source(alias / "a.txt", root=alias, limits=LIMITS).read_bytes(LIMITS) == b"inside"


OUTSIDE = [
    "..",
    "../secret.txt",
    "../does-not-exist",
    "folder/../../secret.txt",
    "./.././secret.txt",
    "folder//..//..//secret.txt",
    "../rootless/secret.txt",
    "../root/../secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "link",
    "link-to-link",
    "out/secret.txt",
    "out/rootless/../secret.txt",
    "a.txt\0",
    "a.txt\0.png",
]


OPENED: list[str] = []


def record_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | Path):
        OPENED.append(str(arguments[0]))


@pytest.fixture(scope="module")
def _audit() -> None:
    sys.addaudithook(record_opened)  # cannot be removed, so once only


@pytest.fixture
def opened(_audit: None) -> Iterator[list[str]]:
    """Tell every path the process opens while a test runs."""
    OPENED.clear()
    yield OPENED
    OPENED.clear()


@pytest.mark.parametrize("uri", OUTSIDE)
def test_path_that_leaves_the_root_is_refused_and_not_opened(
    uri: str, root: Path, opened: list[str]
) -> None:
    (root / "link").symlink_to("../secret.txt")
    (root / "link-to-link").symlink_to("link")
    (root / "out").symlink_to(root.parent)
    assert refusal(uri, root).code == "outside-root"
    assert refusal(Path(uri), root).code == "outside-root"
    assert opened == []


def test_audit_of_opened_paths_sees_a_file_that_is_read(root: Path, opened: list[str]) -> None:
    open_source("a.txt", root=root, limits=LIMITS)
    assert opened == [str(root / "a.txt")]


@pytest.mark.parametrize("uri", ["%2e%2e/secret.txt", "..%2fsecret.txt", "..\\secret.txt", "~/a"])
def test_escapes_are_names_and_nothing_more(uri: str, root: Path) -> None:
    assert refusal(uri, root).code == "missing"


def test_file_may_have_escapes_in_its_name(root: Path) -> None:
    (root / "%2e%2e").write_text("odd")
    assert open_source("%2e%2e", root=root, limits=LIMITS).read_bytes(LIMITS) == b"odd"


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/a.png",
        "HTTPS://example.org/a.png",
        "http:\\\\example.org",
        "ftp://example.org/a",
        "file:///etc/passwd",
        "file:a.txt",
        "s3://bucket/a",
        "javascript:alert(1)",
        "concat:a.txt|b.txt",
    ],
)
def test_addresses_are_not_fetched(uri: str, root: Path) -> None:
    for scope in (root, None):
        error = refusal(uri, scope)
        assert error.code == "scheme"
        assert "download the file and give its path" in error.reason


def test_file_name_with_a_colon_is_reached_as_the_message_says(root: Path) -> None:
    (root / "note:1.txt").write_text("colon")
    assert "./name" in refusal("note:1.txt", root).reason
    for uri in ("./note:1.txt", Path("note:1.txt")):
        assert open_source(uri, root=root, limits=LIMITS).read_bytes(LIMITS) == b"colon"


def test_fifo_is_refused_without_blocking(root: Path) -> None:
    os.mkfifo(root / "pipe")
    start = time.perf_counter()
    error = refusal("pipe", root)
    assert time.perf_counter() - start < 0.05
    assert error.code == "not-a-file"


def test_fifo_that_replaces_a_checked_file_does_not_block(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regular = os.stat(root / "a.txt")
    os.mkfifo(root / "pipe")
    monkeypatch.setattr(os, "stat", lambda path: regular)
    start = time.perf_counter()
    with pytest.raises(MediaError, match="pipe, socket or device"):
        Source("pipe", path=root / "pipe").open(LIMITS)
    assert time.perf_counter() - start < 0.05


def test_link_that_replaces_a_checked_file_is_not_followed(root: Path) -> None:
    source = open_source("a.txt", root=root, limits=LIMITS)
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to("../secret.txt")
    with pytest.raises(MediaError) as caught:
        source.read_bytes(LIMITS)
    assert caught.value.code == "missing"


def test_only_regular_files_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # a socket's path must be short
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    listener.close()
    for uri in ("folder", ".", "socket", "/dev/zero", "/dev/null"):
        assert refusal(uri).code == "not-a-file", uri
    assert "it is a directory" in refusal("folder").reason


def test_missing_file_says_so(root: Path) -> None:
    (root / "circle").symlink_to("circle")
    (root / "dangling").symlink_to("nothing")
    names = ["no.txt", "a.txt/b", "circle", "dangling", "", "n" * 300, "n/" * 4000, "\ud800.png"]
    for uri in names:
        assert refusal(uri, root).code == "missing", uri
    assert refusal("a.txt", root / "no-such-root").code == "missing"


def test_very_long_path_is_refused_at_once(root: Path) -> None:
    start = time.perf_counter()
    assert refusal("a/" * 1_000_000, root).code == "missing"
    assert time.perf_counter() - start < 0.2


def test_long_chain_of_links_ends(root: Path) -> None:
    (root / "link0").symlink_to("a.txt")
    for i in range(1, 1500):
        (root / f"link{i}").symlink_to(f"link{i - 1}")
    assert refusal("link1499", root).code == "missing"


def test_file_without_permission_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "private words")

    monkeypatch.setattr(os, "open", denied)
    error = refusal("a.txt", root)
    assert error.code == "unreadable"
    assert "EACCES" in error.reason
    assert "private" not in error.reason


def test_empty_file_and_empty_bytes_are_refused(root: Path) -> None:
    (root / "a.txt").write_bytes(b"")
    assert refusal("a.txt", root).code == "empty"
    assert refusal(b"").code == "empty"
    assert refusal("data:text/plain;base64,").code == "empty"


def test_file_passes_at_the_limit_and_not_one_byte_above(root: Path) -> None:
    (root / "a.txt").write_bytes(b"x" * 100)
    assert len(open_source("a.txt", root=root, limits=LIMITS).read_bytes(LIMITS)) == 100
    (root / "a.txt").write_bytes(b"x" * 101)
    error = refusal("a.txt", root)
    assert error.code == "too-large"
    assert "101 bytes exceed the limit of 100" in error.reason
    assert "`limits.file_bytes`" in error.reason


def test_bytes_pass_at_the_limit_and_not_one_above() -> None:
    assert open_source(b"x" * 50, root=None, limits=LIMITS).read_bytes(LIMITS) == b"x" * 50
    error = refusal(b"x" * 51)
    assert error.code == "too-large"
    assert "`limits.inline_bytes`" in error.reason


@pytest.mark.parametrize("size", [48, 49, 50])
def test_data_uri_is_read_up_to_the_limit(size: int) -> None:
    uri = "DATA:image/png;name=a.png;base64," + base64.b64encode(b"x" * size).decode()
    source = open_source(uri, root=None, limits=LIMITS)
    assert source.read_bytes(LIMITS) == b"x" * size
    assert source.origin == "DATA:image/png;name=a.png;base64,…"


def test_data_uri_above_the_limit_is_refused_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base64, "b64decode", lambda *a, **k: pytest.fail("was decoded"))
    error = refusal("data:;base64," + base64.b64encode(b"x" * 51).decode())
    assert error.code == "too-large"
    assert "51 bytes" in error.reason


@pytest.mark.parametrize(
    "uri",
    [
        "data:",
        "data:,abc",
        "data:image/png,abc",
        "data:;base64,a",
        "data:;base64,YW.Jj",
        "data:;base64,é",
    ],
)
def test_data_uri_of_another_form_is_refused(uri: str) -> None:
    assert refusal(uri).code == "data-uri"


def test_file_that_grows_or_shrinks_after_the_check_is_still_limited(root: Path) -> None:
    source = open_source("a.txt", root=root, limits=LIMITS)
    (root / "a.txt").write_bytes(b"x" * 101)
    with pytest.raises(MediaError) as caught:
        source.read_bytes(LIMITS)
    assert caught.value.code == "too-large"
    (root / "a.txt").write_bytes(b"")
    with pytest.raises(MediaError) as caught:
        source.read_bytes(LIMITS)
    assert caught.value.code == "empty"


def test_sha256_is_that_of_the_bytes(root: Path) -> None:
    digest = hashlib.sha256(b"inside").hexdigest()
    assert open_source("a.txt", root=root, limits=LIMITS).sha256() == digest
    assert open_source(b"inside", root=None, limits=LIMITS).sha256() == digest


def test_text_is_utf8_without_byte_order_mark() -> None:
    assert Source("x", data="\ufeffapa khabar é".encode()).read_text(LIMITS) == "apa khabar é"
    with pytest.raises(MediaError, match="save it as UTF-8"):
        Source("x", data=b"\xff\xfe").read_text(LIMITS)


def test_label_is_one_short_printable_line(root: Path) -> None:
    error = refusal("a\nb\x1b[31m\u202e\udcff" + "n" * 3000 + "end.png", root)
    assert error.origin.startswith("a\\nb\\x1b[31m\\u202e\\udcff")
    assert error.origin.endswith("end.png")
    assert len(error.origin) < 220
    assert "gambar ü 图.png" in str(refusal("gambar ü 图.png", root))


@given(uri=st.text(max_size=60))
def test_any_text_is_a_source_or_one_media_error(
    tmp_path_factory: pytest.TempPathFactory, uri: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "empty-root"
    root.mkdir(exist_ok=True)
    try:
        open_source(uri, root=root, limits=LIMITS)
    except MediaError as error:
        assert str(error).isprintable()


class Rows(Modality):
    """A plugin's modality: comma-separated numbers."""

    name: ClassVar[str] = "rows"

    def read(self, source: Source, limits: Limits) -> list[float]:
        return [float(text) for text in source.read_text(limits).split(",")]


def test_media_are_read_from_paths_and_bytes(root: Path) -> None:
    (root / "a.csv").write_text("1,2")
    assert read_media(Rows(), "a.csv", root=root, limits=LIMITS) == [1, 2]
    assert read_media(Rows(), Path("a.csv"), root=root, limits=LIMITS) == [1, 2]
    assert read_media(Rows(), b"1,2", root=None, limits=LIMITS) == [1, 2]


def test_other_objects_go_to_convert() -> None:
    with pytest.raises(MediaError, match="rows given as int") as caught:
        read_media(Rows(), 7, root=None, limits=LIMITS)
    assert caught.value.code == "unsupported"


def test_failure_of_a_plugin_is_one_media_error_without_its_words() -> None:
    with pytest.raises(MediaError) as caught:
        read_media(Rows(), b"1,private", root=None, limits=LIMITS)
    assert caught.value.code == "unreadable"
    assert "'rows'" in caught.value.reason
    assert "ValueError" in caught.value.reason
    assert "private" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_failure_of_a_plugin_is_chained_for_who_debugs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMMODAL_DEBUG", "1")
    with pytest.raises(MediaError) as caught:
        read_media(Rows(), b"1,private", root=None, limits=LIMITS)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("error", [RecordError("here", "own words"), KeyboardInterrupt()])
def test_our_own_errors_and_interrupts_pass_unchanged(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Rows, source: Source, limits: Limits) -> None:
        raise error

    monkeypatch.setattr(Rows, "read", read)
    with pytest.raises(type(error)) as caught:
        read_media(Rows(), b"1", root=None, limits=LIMITS)
    assert caught.value is error


def test_import_is_light() -> None:
    code = (
        "import sys, mmmodal.modalities.image, mmmodal.modalities.audio;"
        "print(*{'PIL', 'numpy', 'soundfile', 'torch', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("uri", ["images\\a.png", "C:\\data\\a.png", "C:/data/a.png", "..\\a.png"])
def test_a_path_of_windows_that_is_missing_gets_a_hint(tmp_path: Path, uri: str) -> None:
    with pytest.raises(
        MediaError, match=r"it is a path of Windows; write / for .*--root-map"
    ) as got:
        open_source(uri, root=tmp_path, limits=Limits())
    assert got.value.code == "missing"


def test_a_name_with_a_backslash_is_read_where_it_exists(tmp_path: Path) -> None:
    (tmp_path / "a\\b.png").write_bytes(b"x")

    assert open_source("a\\b.png", root=tmp_path, limits=Limits()).read_bytes(Limits()) == b"x"
