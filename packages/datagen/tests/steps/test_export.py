"""Rows become files that others read, and what is read is written again unchanged."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from mmmodal.config import validate
from mmmodal.records.dataset import read_records
from mmmodal_datagen.contracts import Call, Medium, Origin, Piece, Row, Turn
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from worlds import PAPER_EXAMPLES, read_lines, write_lines


def export(folder: Path, *, splits: dict[str, float] | None = None, **options: Any) -> StepOutcome:
    """Run the step on `rows.jsonl`."""
    values = {
        "out": folder / "out",
        "root": folder,
        "splits": splits or {},
        "steps": {
            "rows": {"step": "import", "options": {"files": ["rows.jsonl"]}},
            "export": {"inputs": ["rows"], "options": options},
        },
    }
    return run_pipeline(validate(Pipeline, values, "test"))[-1]


def write_rows(folder: Path, number: int = 6, **changes: Any) -> list[Row]:
    """Write bilingual rows with their images."""
    rows = []
    (folder / "pics").mkdir()
    for index in range(number):
        (folder / f"pics/{index}.png").write_bytes(b"image %d" % index)
        asked, answered = (
            Call(backend="openai", model="mixtral", prompt_sha256="p", request_sha256=request)
            for request in ("the same for all", f"{index}")
        )
        question = Piece(type="text", text=f"What is {index}?", text_ms=f"Apakah {index}?")
        rows.append(
            Row(
                id=f"row-{index}",
                kind="visual_qa",
                turns=(
                    Turn(role="user", content=(Piece(type="image", media=0), question)),
                    Turn(
                        role="assistant", content=(Piece(type="text", text="It.", text_ms="Itu."),)
                    ),
                ),
                media=(Medium(kind="image", uri=f"pics/{index}.png"),),
                groups=(f"image-{index // 2}",),
                origins=(
                    Origin(step="questions", version="1", fingerprint="q", calls=(asked,)),
                    Origin(step="dialogue", version="1", fingerprint="d", calls=(answered,)),
                ),
                licence="CC-BY-4.0",
                **changes,
            )
        )
    text = "".join(row.model_dump_json(exclude_none=True) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    return rows


def test_the_papers_rows_come_out_as_they_went_in(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(PAPER_EXAMPLES.read_bytes())
    outcome = export(tmp_path, to=["paper"], media="leave")
    assert (outcome.rejected, outcome.failed) == (0, 0)
    out = tmp_path / "out/export/paper/train.jsonl"
    given, found = (read_lines(path) for path in (PAPER_EXAMPLES, out))
    assert found == given


def test_each_language_is_a_record_that_training_reads_with_its_media(tmp_path: Path) -> None:
    write_rows(tmp_path)
    export(tmp_path)
    folder = tmp_path / "out/export/records"
    records = [record for _, record in read_records(folder / "train.jsonl")]
    assert [record.lang for record in records] == ["en", "ms"] * 6
    assert records[1].messages[1].content[0].text == "Itu."
    assert {record.group for record in records} == {"image-0", "image-1", "image-2"}
    for record in records:
        assert (folder / record.media[0].uri).read_bytes().startswith(b"image")


def test_no_medium_is_in_two_splits(tmp_path: Path) -> None:
    write_rows(tmp_path, 40)
    export(tmp_path, splits={"train": 0.7, "test": 0.3})
    folder = tmp_path / "out/export/records"
    groups = [
        {record.group for _, record in read_records(folder / f"{split}.jsonl")}
        for split in ("train", "test")
    ]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 20


def test_parquet_loads_with_datasets_by_its_card(tmp_path: Path) -> None:
    write_rows(tmp_path)
    export(tmp_path, to=["datasets"])
    folder = tmp_path / "out/export/datasets"
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 12
    assert loaded["train"][1]["messages"][1]["content"][0]["text"] == "Itu."


def test_the_card_says_what_the_rows_are_and_where_they_are_from(tmp_path: Path) -> None:
    write_rows(tmp_path)
    export(tmp_path)
    text = (tmp_path / "out/export/records/README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["language"] == ["en", "ms"]
    assert head["license"] == "cc-by-4.0"
    assert "| mixtral, called by questions | 1 |" in text
    assert "| mixtral, called by dialogue | 6 |" in text
    assert "written by a language model that saw a description" in text


def test_llava_rows_are_written_and_what_it_cannot_say_is_rejected(tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    typed = rows[0].changed(
        id="typed",
        media=(),
        turns=(
            Turn(role="user", content=(Piece(type="text", text="What does <image> mean?"),)),
            Turn(role="assistant", content=(Piece(type="text", text="Yes."),)),
        ),
    )
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(typed.model_dump_json(exclude_none=True) + "\n")
    outcome = export(tmp_path, to=["llava"])
    assert outcome.reasons == {"not expressible as llava": 1}
    lines = (tmp_path / "out/export/llava/train.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["conversations"][0] == {
        "from": "human",
        "value": "<image>\nWhat is 0?",
    } or json.loads(lines[0])["conversations"][0]["value"].startswith("<image>")
    assert len(lines) == 12


def test_webdataset_keeps_the_files_of_a_record_together(tmp_path: Path) -> None:
    write_rows(tmp_path)
    export(tmp_path, to=["webdataset"], shard_records=8)
    tars = sorted((tmp_path / "out/export/webdataset").glob("*.tar"))
    assert len(tars) == 2
    with tarfile.open(tars[0]) as tar:
        names = tar.getnames()
        first = json.loads(tar.extractfile(names[0]).read())  # type: ignore[union-attr]
    assert names[:4] == ["row-0-en.json", "row-0-en.0.png", "row-0-ms.json", "row-0-ms.0.png"]
    assert first["media"][0]["uri"] == "row-0-en.0.png"


def test_an_exported_file_that_is_gone_is_written_again(tmp_path: Path) -> None:
    write_rows(tmp_path)
    export(tmp_path)
    path = tmp_path / "out/export/records/train.jsonl"
    before = path.read_bytes()
    path.unlink()
    assert export(tmp_path).done == 1
    assert path.read_bytes() == before


def test_a_row_whose_medium_is_gone_fails_and_the_others_are_written(tmp_path: Path) -> None:
    write_rows(tmp_path)
    (tmp_path / "pics/3.png").unlink()
    outcome = export(tmp_path)
    assert outcome.reasons == {"unreadable medium (missing)": 1}
    assert outcome.notes == {"rows_train": 5}
    (tmp_path / "pics/3.png").write_bytes(b"image 3")
    assert export(tmp_path).notes == {"rows_train": 6}


def test_rows_written_in_several_forms_are_told_once(tmp_path: Path) -> None:
    write_rows(tmp_path)
    outcome = export(tmp_path, to=["records", "datasets", "paper"])
    assert outcome.notes == {"rows_train": 6}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"image": 3}', "neither a medium nor turns"),
        ('{"images": ["a.jpg"]}', "neither a medium nor turns; .*'images.0' names a medium"),
        ('{"image": ["a.jpg", "b.jpg"]}', "'image' lists 2 media, not one; write a row for each"),
        ('{"image": {"path": null}, "text": "x"}', "'image' lists 0 media"),
        ('{"image": "a.jpg", "audio": "a.wav"}', "in 'audio' and 'image'; keep one of them"),
        ('{"image": "a.jpg", "mask": "b.png"}', "'mask' names a medium .* write a row for each"),
        (
            '{"messages": [{"role": "user", "content": "x"}], "photo": "a"}',
            "'photo' names a medium",
        ),
        ('{"image": "a.jpg", "caption"', "not valid JSON"),
        ('{"image": "../../../etc/a.jpg", "caption": "x"}', "is outside of"),
    ],
)
def test_a_row_that_cannot_be_read_is_a_failed_row_and_told(
    tmp_path: Path, line: str, reason: str
) -> None:
    write_rows(tmp_path, 2)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(line + "\n")
    values = {
        "out": tmp_path / "out",
        "root": tmp_path,
        "steps": {"import": {"options": {"files": ["rows.jsonl"]}}},
    }
    (outcome,) = run_pipeline(validate(Pipeline, values, "test"))
    assert (outcome.rows, outcome.failed) == (2, 1)
    (path,) = (tmp_path / "out/steps/import").rglob("failed-*.parquet")
    from refused_rows import read_refusals

    (refused,) = read_refusals(path, again=True)
    assert re.search(reason, refused.detail)


def test_described_images_and_folders_of_recordings_become_rows(tmp_path: Path) -> None:
    (tmp_path / "clips/deep").mkdir(parents=True)
    for name in ("b.wav", "a.mp3", "deep/c.flac", "notes.txt"):
        (tmp_path / "clips" / name).write_bytes(b"x")
    described = {"image": "pic/moto.jpg", "caption": "a scooter", "price": 9, "lang": "en"}
    write_lines(tmp_path / "images.jsonl", [described])
    files = ["images.jsonl", "clips"]
    values = {
        "out": tmp_path / "out",
        "root": tmp_path,
        "steps": {"import": {"options": {"files": files, "licence": "CC0-1.0"}}},
    }
    (outcome,) = run_pipeline(validate(Pipeline, values, "test"))
    rows = [row for file in outcome.files for row in file.read()]
    assert rows[0].media[0].description == "a scooter"
    assert rows[0].media[0].facts == {"price": 9}
    assert [row.media[0].uri for row in rows[1:]] == [
        "clips/a.mp3",
        "clips/b.wav",
        "clips/deep/c.flac",
    ]
    assert {row.licence for row in rows} == {"CC0-1.0"}
    assert {row.kind for row in rows[1:]} == {"recording"}
