"""Paths as rows write them become paths under the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from foreign_rows import read
from mmmodal.contracts.record import MediaRef, Record, text_message
from mmmodal.records.paths import RootMaps, local_path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///data/a.png", "/data/a.png"),
        ("FILE://localhost/data/a.png", "/data/a.png"),
        ("file://images/a.png", "images/a.png"),  # as Qwen's own reader takes it
        ("file:///data/my%20file.png", "/data/my file.png"),
        ("file:///C:/data/a.png", "C:/data/a.png"),
        ("file:a.png", "file:a.png"),
        ("images/a.png", "images/a.png"),
        ("https://example.com/a.png", "https://example.com/a.png"),
    ],
)
def test_a_file_url_is_its_path(uri: str, path: str) -> None:
    assert local_path(uri) == path


def test_a_file_whose_name_has_a_percent_sign_is_found_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a%20b.png").touch()

    assert local_path(f"file://{tmp_path}/a%20b.png") == f"{tmp_path}/a%20b.png"


def test_a_row_of_any_format_may_name_media_by_file_urls() -> None:
    turns = [{"from": "human", "value": "<image>x"}]

    (record,) = read({"image": "file:///data/a.png", "conversations": turns})

    assert record.media[0].uri == "/data/a.png"


@pytest.mark.parametrize(
    ("maps", "uri", "expected"),
    [
        ([r"C:\data=data"], r"C:\data\images\a.png", "data/images/a.png"),
        (["C:/data=data"], r"C:\data\images\a.png", "data/images/a.png"),
        ([r"c:\Data\=/mnt/d/"], r"C:\data\a.png", "/mnt/d/a.png"),
        ([r"C:\data="], "C:/data/a.png", "a.png"),
        (["C:=root"], r"C:\data\a.png", "root/data/a.png"),
        (["images=pictures"], r"images\deep\a.png", "pictures/deep/a.png"),
        ([r"\\server\share=share"], r"\\server\share\a.png", "share/a.png"),
        ([r"C:\data=a", r"C:\data\images=b"], r"C:\data\images\a.png", "b/a.png"),
        # nothing else is touched
        ([r"C:\data=data"], r"C:\database\a.png", r"C:\database\a.png"),
        ([r"C:\data=data"], r"D:\data\a.png", r"D:\data\a.png"),
        (["Images=x"], "images/a.png", "images/a.png"),
        (["a=b"], "data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
    ],
)
def test_root_maps_match_paths_of_windows(maps: list[str], uri: str, expected: str) -> None:
    record = Record(
        id="1",
        messages=(text_message("user", "x"),),
        media=(),
    ).model_copy(update={"media": (MediaRef(kind="image", uri=uri),)})

    assert RootMaps(maps).apply(record).media[0].uri == expected
