"""`mmmodal data guess` writes an entry of a recipe that reads the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from mmmodal.samples.dataset import open_files
from mmmodal.train.recipe.recipe import load_recipe
from worlds import write_lines

Run = Callable[..., tuple[int, str, str]]

TURNS = [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "Dog."}]


@pytest.mark.parametrize(
    ("row", "format", "columns", "reason"),
    [
        ({"image": "a.png", "conversations": TURNS}, "llava", None, "3 of 3 rows have the keys of"),
        ({"audio": "a.wav", "sentence": "Hai."}, "transcripts", None, "the keys of transcripts"),
        (
            {"clip": "c/a.wav", "spoken": "hello there", "speaker": 3, "language": "ms"},
            "columns",
            {"audio": "clip", "lang": "language", "answer": "spoken"},
            "'spoken' is the answer: its texts are the longest",
        ),
        (
            {"pic": "a.png", "problem": "What?", "solution": "dog", "options": ["cat", "dog"]},
            "columns",
            {"image": "pic", "question": "problem", "answer": "solution", "choices": "options"},
            "'problem' is the question, by its name",
        ),
        (
            {"image_1": "a.png", "image_2": "b.png", "alt_text": "Two dogs."},
            "columns",
            {"image": ["image_1", "image_2"], "answer": "alt_text"},
            "'image_2' holds media of the modality image",
        ),
        (
            {
                "image": "a.png",
                "text": "A dog.",
                "caption": "A cat.",
                "clip": "https://x.org/a.mp4",
            },
            "columns",
            {"image": "image", "answer": "caption"},
            "'clip' seems to name media",
        ),
    ],
)
def test_what_is_guessed_reads_the_file(
    tmp_path: Path, row: dict[str, Any], format: str, columns: Any, reason: str, data: Run
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row] * 3)

    code, out, err = data("guess", path)
    told = json.loads(data("guess", path, "--json")[1])

    assert code == 0 and reason in err
    values = yaml.safe_load(out)
    assert values["data"] == told["data"]
    assert (values["data"][0]["format"], values["data"][0].get("columns")) == (format, columns)
    (tmp_path / "recipe.yaml").write_text(out)
    entry = json.dumps(values["data"])
    recipe = load_recipe("align", ["model=m", "out=o", f"data={entry}"])
    (dataset,) = open_files(recipe.data)
    assert [where for where, _ in (dataset[index] for index in range(3))] == [
        shown["where"] for shown in told["rows"]
    ]
    first = dataset[0][1]
    assert told["rows"][0]["turns"][-1] == {
        "role": "assistant",
        "text": first.messages[-1].content[0].text,
    }
    assert f"# {path}:1\n#   user: [{first.media[0].kind}: {first.media[0].uri}] " in out


def test_media_inside_a_table_are_guessed(tmp_path: Path, data: Run) -> None:
    rows = [{"photo": {"bytes": b"x", "path": "a.png"}, "alt": "A dog on a hill."}] * 2
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")

    code, out, _ = data("guess", tmp_path / "a.parquet")

    assert code == 0
    assert yaml.safe_load(out)["data"][0]["columns"] == {"image": "photo", "answer": "alt"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1, "b": 2}], "no column is a question or a medium, of these: 'a', 'b'"),
        ([{"image": "a.png", "tags": ["a"]}], "no column is an answer, of these: 'image', 'tags'"),
        ([], "it has no rows"),
    ],
)
def test_nothing_is_guessed_of_what_is_not_known(
    tmp_path: Path, rows: list[Any], message: str, data: Run
) -> None:
    code, out, err = data("guess", write_lines(tmp_path / "a.jsonl", rows))

    assert (code, out) == (1, "")
    assert message in err


def test_columns_are_set_on_the_command_line(tmp_path: Path, data: Run) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"clip": "a.wav", "spoken": "Hai."}])
    named = ("--format", "columns", "--set", "columns.audio=clip")

    code, _, err = data("check", path, *named, "--set", "columns.anser=spoken")
    assert code == 1 and "'anser' is neither a modality nor a text. Did you mean 'answer'?" in err
    whole = (*named, "--set", "columns.answer=spoken", "--set", "lang=ms")
    assert data("check", path, *whole, "--no-media")[0] == 0
    assert json.loads(data("stats", path, *whole, "--json")[1])["languages"] == {"ms": 1}
    assert data("convert", path, tmp_path / "b.jsonl", *whole)[0] == 0
    row = json.loads((tmp_path / "b.jsonl").read_text())
    assert row["messages"][0]["content"][1]["text"] == "Terangkan audio ini."
