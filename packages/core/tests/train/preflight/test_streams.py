"""`--check` of streamed data looks at their first records, and says that the rest is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmmodal.cli.main import run
from mmmodal_playground.records import make_records
from worlds import read_lines, record, write_lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 12)


def check(
    capsys: pytest.CaptureFixture[str], start: Path, data: Any, out: Path, *more: str
) -> tuple[int, str]:
    files = json.dumps([{"path": str(path), "streaming": True} for path in data])
    given = [f"model={start}", f"data={files}", f"out={out}", "batch_size=2", "max_tokens=512"]
    code = run(["train", "align", *given, "max_steps=7", *more, "--check"])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["packing=true", "batch_size=1"]])
def test_what_is_known_is_told(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    code, told = check(capsys, start, [data], tmp_path / "out", *more)
    assert code == 0
    assert "Data are streamed: the number of conversations is not known" in told
    assert "Steps: 7\n" in told and "of 12 measured" in told
    assert "Memory of this machine in a step of" in told and "No problems found." in told
    assert next(line.split() for line in told.splitlines() if str(data) in line)[1:] == [
        "streamed",
        "1.0",
        "streamed",
    ]


def test_the_rest_of_the_data_is_not_read(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad row behind those that are looked at is found in training."""
    rows = read_lines(data)
    path = write_lines(data.with_name("long.jsonl"), [*rows * 60, "{"])
    code, told = check(capsys, start, [path], tmp_path / "out", "--json")
    values = json.loads(told)
    assert code == 0 and values["problems"] == [] and values["lengths"]["measured"] == 512
    assert values["steps"] == 7
    assert values["conversations_in_an_epoch"] is values["tokens_in_an_epoch"] is None
    assert values["data"][0]["records"] is None


def test_every_data_set_is_looked_at(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = record("gone", ("image", "gone.png"))
    bad = write_lines(data.with_name("bad.jsonl"), [gone, "{", *read_lines(data)])
    code, told = check(capsys, start, [data, bad], tmp_path / "out")
    assert code == 1
    assert f"Problem: {bad}:1: gone.png: no such file" in told
    assert f"Problem: {bad}:2: not valid JSON" in told
    code, told = check(capsys, start, [data, bad], tmp_path / "out", "on_bad_sample=skip")
    assert code == 0
    assert f"Note: {bad}:1: gone.png" in told and f"Note: {bad}:2" in told


def test_data_that_cannot_be_read_are_problems(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write_lines(tmp_path / "empty.jsonl", [])
    code, told = check(capsys, start, [empty], tmp_path / "out")
    assert code == 1 and f"Problem: {empty}: it has no records" in told
    code, told = check(capsys, start, [tmp_path / "none.jsonl"], tmp_path / "out")
    assert code == 1 and "none.jsonl: no such file" in told
    bad = write_lines(tmp_path / "bad.jsonl", ["{"] * 3)
    code, told = check(capsys, start, [bad], tmp_path / "out", "on_bad_sample=skip")
    assert code == 1 and "none of the first conversations can be used" in told
