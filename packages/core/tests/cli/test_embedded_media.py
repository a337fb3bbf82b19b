"""`mmmodal data` on media inside rows: checked, counted, shown and written out again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import datasets
import pytest

from mmmodal.records.dataset import read_records
from pages import Page
from worlds import picture, record, write_lines

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rows(folder: Path) -> Path:
    """Return records about a picture, a sound and a picture."""
    picture(3).save(folder / "media/c.png")
    media = (("image", "media/a.png"), ("audio", "media/b.wav"), ("image", "media/c.png"))
    return write_lines(
        folder / "a.jsonl",
        [
            record("r1", *media, lang="ms"),
            record("r2", media[0], lang="en"),
            record("r3", asked="?"),
        ],
    )


@pytest.fixture
def table(rows: Path, folder: Path, data: Run) -> Path:
    """Return them as a table that `datasets` shows, in a folder without other files."""
    (folder / "out").mkdir()
    path = folder / "out/a.parquet"
    code, out, err = data("convert", rows, path, "--media", "embed")
    assert (code, out, err) == (0, f"{path}: 3 records\n", "")
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_check_reads_media_inside_rows(table: Path, data: Run, workers: int) -> None:
    assert data("check", table, "--workers", workers) == (0, "3 records, no errors\n", "")


def test_check_with_workers_prints_the_same_in_the_same_order(folder: Path, data: Run) -> None:
    for number in range(0, 90, 3):
        (folder / f"media/{number}.png").write_bytes(b"bad")
        picture(number).save(folder / f"media/{number + 1}.png")
    rows = [
        "{" if n % 40 == 7 else json.dumps(record(f"r{n % 50}", ("image", f"media/{n % 90}.png")))
        for n in range(200)
    ]
    path = write_lines(folder / "a.jsonl", rows)

    alone = data("check", path)

    assert alone[0] == 1
    assert alone[1].count("no such file") > 30 < alone[1].count("bad") + alone[1].count(".png")
    assert data("check", path, "--workers", 3) == alone
    as_json = data("check", path, "--json")
    assert data("check", path, "--json", "--workers", 4) == as_json
    where = [int(e["where"].rpartition(":")[2]) for e in json.loads(as_json[1])["errors"]]
    assert where == sorted(where)


def test_stats_and_preview_show_media_inside_rows(table: Path, data: Run) -> None:
    code, out, _ = data("stats", table, "--json")

    assert (code, json.loads(out)["media"]["image"]["total"]) == (0, 3)
    assert json.loads(out)["media"]["audio"]["total"] == 1
    code, out, err = data("stats", table)
    assert (code, err) == (0, "")
    assert "image per record" in out


def test_a_row_with_media_is_not_converted_without_them(
    table: Path, folder: Path, data: Run
) -> None:
    code, out, err = data("convert", table, folder / "b.jsonl")

    assert (code, out) == (1, "")
    assert re.search(
        r"a.parquet:1: the row holds its medium \(.*\); write it as well, with `--med", err
    )
    assert not (folder / "b.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "media"), [("b.jsonl", "files"), ("b.jsonl", "embed"), ("b.parquet", "files")]
)
def test_what_is_converted_is_checked_without_the_first_files(
    table: Path, folder: Path, data: Run, name: str, media: str
) -> None:
    assert data("convert", table, folder / "out" / name, "--media", media)[0] == 0
    table.unlink()

    assert data("check", folder / "out" / name) == (0, "3 records, no errors\n", "")


def test_converted_rows_of_another_format_hold_their_media(
    table: Path, folder: Path, data: Run
) -> None:
    path = folder / "out/b.jsonl"
    assert data("convert", table, path, "--to", "openai", "--media", "embed")[0] == 0

    kinds = [[ref.kind for ref in each.media] for _, each in read_records(path)]

    assert kinds == [["image", "audio", "image"], ["image"], []]
    assert data("check", path) == (0, "3 records, no errors\n", "")


def test_convert_reads_media_under_another_root_within_the_limits(
    rows: Path, folder: Path, data: Run
) -> None:
    moved = rows.rename(folder / "media/a.jsonl")
    out = folder / "b.tar"

    assert data("convert", moved, out, "--media", "embed")[0] == 1
    options = ("--media", "embed", "--root", folder)
    code, _, err = data("convert", moved, out, *options, "--limit", "file_bytes=1000")
    assert code == 1
    assert re.search(r"a.jsonl:1: media/b.wav: 3,244 bytes exceed the limit of 1,000", err)
    assert not out.exists()
    assert data("convert", moved, out, *options) == (0, f"{out}: 3 records\n", "")


@pytest.mark.parametrize("name", ["b.parquet", "b.jsonl"])
def test_shards_hold_all_records_once_in_order(
    table: Path, folder: Path, data: Run, name: str
) -> None:
    path = folder / "shards" / name
    path.parent.mkdir()
    options = ("--media", "embed", "--shard-records", 2)

    assert data("convert", table, path, *options) == (0, f"{path}: 3 records in 2 files\n", "")

    shards = sorted(path.parent.iterdir())
    assert [shard.name for shard in shards] == [
        f"b-00000{number}{path.suffix}" for number in range(2)
    ]
    ids = [[record.id for _, record in read_records(shard)] for shard in shards]
    assert ids == [["r1", "r2"], ["r3"]]
    assert [data("check", shard)[0] for shard in shards] == [0, 0]


def test_duplicates_of_train_and_test_are_found_by_content(
    rows: Path, table: Path, folder: Path, data: Run
) -> None:
    picture(8).save(folder / "media/new.png")
    (folder / "media/copy.png").write_bytes((folder / "media/a.png").read_bytes())
    others = [record("t1", ("image", "media/new.png"), ("image", "media/copy.png"))]
    others += [record("t2", ("image", "media/none.png"))]
    test = write_lines(folder / "test.jsonl", others)

    code, out, err = data("stats", rows, test, table, "--duplicates", "--json")

    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["files"] == {str(rows): 3, str(test): 2, str(table): 3}
    assert found["duplicates"] == {
        "distinct": 4,
        "unread": 1,
        "within": {str(rows): 1, str(test): 0, str(table): 1},
        "between": [
            {"files": [str(rows), str(test)], "media": 1, "examples": [[f"{rows}:1", f"{test}:1"]]},
            {
                "files": [str(rows), str(table)],
                "media": 3,
                "examples": found["duplicates"]["between"][1]["examples"],
            },
            {
                "files": [str(test), str(table)],
                "media": 1,
                "examples": [[f"{test}:1", f"{table}:1"]],
            },
        ],
    }
    code, out, _ = data("stats", rows, test, "--duplicates")
    assert "4 distinct media; 1 not readable" in out
    assert f"1 in {rows} and {test}, such as {rows}:1 and {test}:1" in out


def test_the_report_of_data_is_one_page_that_loads_nothing(
    rows: Path, table: Path, folder: Path, data: Run
) -> None:
    path = folder / "report.html"

    code, _, err = data("stats", rows, table, "--report", path)

    assert (code, err) == (0, f"Report: {path}\n")
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"https?://", text)
    for said in ("Languages", "Media: image", "Media: audio", "Length: user", "Turns", "Files"):
        assert f"<h3>{said}</h3>" in text
    assert re.search(rf"in {rows} and {table}</th><td>3 \({rows}:1 = {table}:1; ", text)
    assert not Page(text, {"meta", "link", "rect", "line"}).open
    for drawing in re.findall(r"<svg.*?</svg>", text):
        ElementTree.fromstring(drawing)


def test_a_report_that_cannot_be_written_is_an_error(rows: Path, folder: Path, data: Run) -> None:
    code, _, err = data("stats", rows, "--report", folder / "none/report.html")

    assert code == 1
    assert "report.html: it cannot be written (No such file or directory)" in err


def test_datasets_reads_what_convert_wrote(table: Path, folder: Path) -> None:
    found: Any = datasets.load_dataset(
        "parquet", data_files=str(table), split="train", cache_dir=str(folder / "cache")
    )

    assert found.features["images"] == datasets.List(datasets.Image())
    assert [len(images) for images in found.remove_columns("audios")["images"]] == [2, 1, 0]
