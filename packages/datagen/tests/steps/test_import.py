"""Importing loses nothing in silence: media are in the row, or the row fails and says why."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mmmodal.cli.main import run
from mmmodal.config import validate
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from refused_rows import read_refusals
from worlds import write_lines


def imported(folder: Path, file: str) -> StepOutcome:
    """Import a file of a folder."""
    values = {
        "out": folder / "out",
        "root": folder,
        "steps": {"import": {"options": {"files": [file]}}},
    }
    (outcome,) = run_pipeline(validate(Pipeline, values, "test"))
    return outcome


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("audio", "'audio': the medium is embedded in the row; save it as a file first"),
        ("image", "'image': the medium is embedded in the row; save it as a file first"),
        ("file", "'file': the medium is embedded in the row; save it as a file first"),
        ("speech", r"'speech' holds a medium \(.*asr.parquet:1 speech \(1.wav\)\)"),
    ],
)
def test_a_medium_inside_a_table_is_refused_for_what_it_is(
    tmp_path: Path, key: str, reason: str
) -> None:
    row = {key: {"bytes": b"RIFF", "path": "1.wav"}, "text": "selamat pagi"}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "asr.parquet")

    outcome = imported(tmp_path, "asr.parquet")

    assert (outcome.rows, outcome.failed) == (0, 1)
    (path,) = (tmp_path / "out/steps/import").rglob("failed-*.parquet")
    (refused,) = read_refusals(path, again=True)
    assert re.search(f"asr.parquet:1: .*{reason}", refused.detail)


def test_a_column_of_paths_as_datasets_stores_them_is_read(tmp_path: Path) -> None:
    row = {"audio": {"bytes": None, "path": "1.wav"}, "sentence": "selamat pagi"}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "asr.parquet")

    outcome = imported(tmp_path, "asr.parquet")

    (found,) = [row for file in outcome.files for row in file.read()]
    assert (found.media[0].uri, found.media[0].facts) == ("1.wav", {"sentence": "selamat pagi"})


def test_keys_of_conversations_that_are_not_used_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [{"role": "user", "content": "Apa?"}, {"role": "assistant", "content": "Itu."}]
    rows = [{"messages": turns, "source": "coco"}, {"messages": turns, "source": "x", "score": 1}]
    write_lines(tmp_path / "a.jsonl", rows)
    (tmp_path / "p.yaml").write_text(
        "out: out\nroot: .\nsteps: {rows: {step: import, options: {files: [a.jsonl]}}}\n"
    )

    assert imported(tmp_path, "a.jsonl").notes == {"unused_score": 1, "unused_source": 2}
    with contextlib.chdir(tmp_path):
        assert run(["datagen", "run", "p.yaml", "out=again"]) == 0
    assert "rows: not used, kept in meta: 'score' (1), 'source' (2)" in capsys.readouterr().err
