"""From recordings and pictures to a trained model: the whole pipeline on real input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmmodal.cli.main import run
from mmmodal_datagen.pipeline import load_pipeline, resolve
from mmmodal_datagen.pipeline_files import shipped_pipelines
from mmmodal_datagen.rows.tables import read_rows
from mmmodal_playground.serving.server import serving
from mmmodal_playground.sources import make_sources
from worlds import read_lines

RECORDINGS = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in which the playground's pipeline has run."""
    folder = tmp_path_factory.mktemp("data") / "world"
    make_sources(folder, RECORDINGS)
    with serving() as url:
        assert run(command(folder, url)) == 0
    yield folder


def command(folder: Path, url: str) -> list[str]:
    given = [f"root={folder}", f"out={folder / 'made'}", f"backends.writer.options.base_url={url}"]
    fewer = [f"steps.relations.options.pairs.{kind}-image=4" for kind in ("image", "audio")]
    return ["datagen", "run", "playground", *given, *fewer, "steps.sessions.options.sessions=12"]


def rows_of(folder: Path, step: str) -> list[Any]:
    found = sorted((folder / "made/steps" / step).glob("*/part-*.parquet"))
    return [row for path in found for row in read_rows(path)]


def counts_of(folder: Path) -> dict[str, dict[str, Any]]:
    summary = json.loads((folder / "made/summary.json").read_text())
    return {step["step"]: step for step in summary}


def test_what_was_spoken_is_heard(world: Path) -> None:
    lines = (world / "spoken.jsonl").read_text(encoding="utf-8").splitlines()
    heard: dict[str, list[tuple[float, str, str]]] = {}
    for row in rows_of(world, "transcripts"):
        (clip,) = row.media
        heard.setdefault(row.groups[0], []).append((clip.start_s, clip.description, clip.lang))
    right = total = 0
    for spoken in map(json.loads, lines):
        found = sorted(heard[spoken["audio"]])
        assert {lang for *_, lang in found} == {spoken["lang"]}
        right += sum(a == b for a, (_, b, _) in zip(spoken["phrases"], found, strict=False))
        total += len(spoken["phrases"])
    assert right >= 0.9 * total


def test_every_step_made_rows_and_none_failed(world: Path) -> None:
    counts = counts_of(world)
    assert all(step["failed"] == 0 for step in counts.values())
    assert all(step["rows"] for name, step in counts.items() if name != "export")
    assert counts["spoken-dialogues"]["rows"] >= 40
    assert counts["fit"]["rows"] > 0.9 * counts["bilingual"]["rows"]
    notes = counts["relations"]["notes"]
    assert notes["related"] and notes["unrelated"]


def test_every_row_is_in_both_languages_and_can_be_traced(world: Path) -> None:
    row = next(row for row in rows_of(world, "sessions") if len(row.media) > 2)
    assert all(piece.text_ms for piece in row.pieces() if piece.text is not None)
    steps = {origin.step for origin in row.origins}
    assert {"import", "translate", "gate", "compose"} <= steps
    models = {call.model for origin in row.origins for call in origin.calls}
    assert "playground-translator" in models
    assert row.licence == "CC0-1.0"


def test_splits_share_no_recording_and_no_picture(world: Path) -> None:
    groups = {}
    for split in ("train", "test"):
        path = world / f"made/export/records/{split}.jsonl"
        records = read_lines(path)
        groups[split] = {name for each in records for name in each["group"].split("+")}
    assert groups["train"] and groups["test"]
    assert not groups["train"] & groups["test"]


def test_the_report_shows_the_rows(world: Path) -> None:
    page = (world / "made/report.html").read_text(encoding="utf-8")
    assert page.count("<article") == 20
    assert "data:audio/mpeg;base64," in page and "data:image/png;base64," in page
    assert "playground-whisper" in page


def test_run_again_nothing_is_asked(world: Path) -> None:
    # No server is there, and no other address makes other rows.
    assert run(command(world, "http://127.0.0.1:9/v1")) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_trains_on_the_rows(world: Path, tmp_path: Path) -> None:
    encoders = ["--encoder", "image=playground-siglip", "--encoder", "audio=playground-whisper"]
    start = str(tmp_path / "start")
    assert run(["compose", start, "--backbone", "playground-llama", *encoders]) == 0
    data = world / "made/export/records/train.jsonl"
    given = [f"model={start}", f"data={data}", f"out={tmp_path / 'trained'}", "batch_size=2"]
    assert run(["train", "instruct", *given, "--check"]) == 0
    assert run(["train", "instruct", *given, "max_steps=3"]) == 0
    logged = (tmp_path / "trained/run/metrics.jsonl").read_text().splitlines()
    assert any("loss" in json.loads(line) for line in logged)


@pytest.mark.parametrize("name", shipped_pipelines())
def test_every_shipped_pipeline_fits_together(name: str) -> None:
    pipeline = load_pipeline(name)
    assert [step.name for step in resolve(pipeline)] == list(pipeline.steps)


def test_a_shipped_pipeline_is_listed_shown_and_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["datagen", "pipelines"]) == 0
    listed = capsys.readouterr().out
    assert "paper" in listed and "sections 2 to 4.4" in listed
    assert run(["datagen", "pipelines", "--json"]) == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} >= {"paper", "playground"}
    target = tmp_path / "mine.yaml"
    assert run(["datagen", "pipelines", "copy", "paper", str(target)]) == 0
    capsys.readouterr()
    assert run(["datagen", "pipelines", "show", "paper"]) == 0
    assert capsys.readouterr().out == target.read_text()
    assert "sessions" in yaml.safe_load(target.read_text())["steps"]
    assert run(["datagen", "pipelines", "copy", "paper", str(target)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(["datagen", "pipelines", "copy", "papr", str(tmp_path / "x.yaml")]) == 1
    assert "Did you mean 'paper'" in capsys.readouterr().err
