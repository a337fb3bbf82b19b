"""`mmmodal data` on data sets of several files, of the Hub, and with media at URLs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_hub import data_hub
from worlds import record, write_lines

Run = Callable[..., tuple[int, str, str]]


def text(name: str) -> dict[str, Any]:
    """Return a row without media."""
    return record(name, asked="Why?", answer="So.")


def test_check_reads_all_shards_with_media_beside_each(folder: Path, data: Run) -> None:
    for shard in range(3):
        (folder / f"part={shard}").mkdir()
        (folder / f"part={shard}/{shard}.png").write_bytes((folder / "media/a.png").read_bytes())
        row = record(f"r{shard}", ("image", f"{shard}.png"), answer="Red.")
        write_lines(folder / f"part={shard}/a.jsonl", [row, text(f"t{shard}")])
    assert data("check", folder / "*/a.jsonl") == (0, "6 records, no errors\n", "")
    assert data("check", folder / "part={0..1}/a.jsonl") == (0, "4 records, no errors\n", "")
    (folder / "part=1/1.png").unlink()
    code, out, _ = data("check", folder / "part=*")
    assert (code, out.splitlines()[-1]) == (1, "6 records, 1 error")
    assert out.startswith(f"{folder}/part=1/a.jsonl:1: medium 0: 1.png: no such file")


def test_media_beside_shards_in_several_folders_are_converted_and_counted(
    folder: Path, data: Run
) -> None:
    for shard, colour in enumerate(("red", "blue", "red")):
        (folder / f"in/part={shard}").mkdir(parents=True)
        Image.new("RGB", (8, 8), colour).save(folder / f"in/part={shard}/x.png")
        write_lines(folder / f"in/part={shard}/a.jsonl", [record(f"r{shard}", ("image", "x.png"))])
    kept = folder / "in/kept.json"

    code, _, err = data("convert", folder / "in/part=*", folder / "in/kept.jsonl")
    assert (code, err) == (0, "")
    (folder / "in/kept.jsonl").rename(kept)
    assert data("check", kept) == (0, "3 records, no errors\n", "")
    code, _, err = data("convert", folder / "in/part=*", folder / "all.parquet", "--media", "embed")
    assert (code, err) == (0, "")
    assert data("check", folder / "all.parquet") == (0, "3 records, no errors\n", "")
    told = json.loads(data("stats", folder / "in/part=*", "--duplicates", "--json")[1])
    assert told["duplicates"]["distinct"] == 2


def test_common_voice_as_it_is_downloaded_is_read(folder: Path, data: Run) -> None:
    (folder / "clips").mkdir()
    (folder / "media/b.wav").rename(folder / "clips/1.wav")
    rows = ["client_id\tpath\tsentence\tup_votes\tlocale", 'x\t1.wav\tKata "ya", bukan?\t2\tms']
    (folder / "validated.tsv").write_text("\n".join(rows))

    code, out, _ = data("check", folder / "validated.tsv")
    assert code == 1
    assert f"relative paths begin in {folder}; --root names another folder" in out
    code, out, _ = data("check", folder / "validated.tsv", "--root", folder / "clips")
    assert (code, out.splitlines()[-1]) == (0, "1 record, no errors")
    code, out, _ = data("guess", folder / "validated.tsv")
    assert code == 0
    assert "format: transcripts" in out and 'assistant: Kata "ya", bukan?' in out


def test_records_of_shards_with_the_same_keys_get_ids_of_their_own(folder: Path, data: Run) -> None:
    for shard in range(3):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for name, content in {
                "0.txt": b"Red.",
                "0.png": (folder / "media/a.png").read_bytes(),
            }.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

    code, _, _ = data("convert", folder / "{0..2}.tar", folder / "a.jsonl", "--media", "embed")

    assert code == 0
    assert data("check", folder / "a.jsonl") == (0, "3 records, no errors\n", "")


def test_an_id_of_two_shards_is_an_error_that_names_both(tmp_path: Path, data: Run) -> None:
    for shard in range(2):
        write_lines(tmp_path / f"{shard}.jsonl", [text("same")])
    code, out, _ = data("check", tmp_path)
    first, second = (tmp_path / f"{shard}.jsonl" for shard in range(2))
    assert code == 1
    assert f"{second}:1: the id 'same' is also that of row {first}:1; make it unique" in out


def test_stats_and_convert_read_splits(tmp_path: Path, data: Run) -> None:
    for split, number in (("train", 2), ("test", 1)):
        for shard in range(number):
            write_lines(tmp_path / f"{split}-{shard}.jsonl", [text(f"{split}{shard}")])
    code, _, err = data("stats", tmp_path)
    assert (code, err) == (
        1,
        f"Error: {tmp_path}: it holds several splits: test, train; name one by `split`\n",
    )
    assert json.loads(data("stats", tmp_path, "--split", "train", "--json")[1])["records"] == 2
    out = tmp_path / "out/all.jsonl"
    out.parent.mkdir()
    code, said, _ = data("convert", tmp_path / "*.jsonl", out)
    assert (code, said) == (0, f"{out}: 3 records\n")
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [
        *("test0", "train0", "train1")
    ]
    code, _, err = data("convert", tmp_path, tmp_path / "test-0.jsonl", "--split", "test")
    assert (code, "OUT is the same file as IN" in err) == (2, True)


def test_the_command_reads_the_hub_and_says_when_it_is_offline(tmp_path: Path) -> None:
    rows = "".join(json.dumps(text(f"r{number}")) + "\n" for number in range(2))
    with data_hub() as hub:
        hub.add("lab/scenes", {"train.jsonl": rows.encode(), "test.jsonl": b""})
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}

        def check(*arguments: str, **more: str) -> tuple[int, str, str]:
            ran = subprocess.run(
                [sys.executable, "-m", "mmmodal", "data", "check", *arguments],
                capture_output=True, text=True, check=False, env={**environment, **more},
            )  # fmt: skip
            return ran.returncode, ran.stdout, ran.stderr

        for path in ("lab/scenes", "hf://datasets/lab/scenes@main"):
            code, out, err = check(path, "--split", "train")
            assert (code, out) == (0, "2 records, no errors\n"), err
        code, out, err = check("lab/scenes", "--split", "train", HF_HUB_OFFLINE="1")
    assert (code, out) == (1, "")
    assert "the Hub cannot be reached (HF_HUB_OFFLINE is set); 1 of its shards are cached" in err
    assert len(err.splitlines()) == 1


def test_media_at_urls_are_read_where_it_is_allowed(
    folder: Path, data: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMMODAL_CACHE", str(folder / "cache"))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Log no requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        rows = [record("r", ("image", f"{url}/media/a.png"), ("audio", f"{url}/media/b.wav"))]
        path = write_lines(folder / "a.jsonl", rows)
        code, out, _ = data("check", path)
        assert code == 1
        assert "allow it by --limit web=true" in out
        code, out, _ = data("check", path, "--limit", "web=true")
        assert (code, f"nothing is fetched from {url}" in out) == (1, True)
        assert data("check", path, "--limit", f"web={url}") == (0, "1 record, no errors\n", "")
    finally:
        server.shutdown()
        server.server_close()
    assert data("check", path, "--limit", f"web={url}") == (0, "1 record, no errors\n", "")
