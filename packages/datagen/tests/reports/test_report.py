"""A finished run leaves a report that is whole in one file; whatever rows hold is text in it."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import soundfile
from PIL import Image

from language_server import Reply, Server, by_digest, serving
from mmmodal.cli.main import run
from mmmodal.config import validate
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.reports.report import write_report
from mmmodal_datagen.run.runner import run_pipeline
from mmmodal_playground.scenes import draw_scene, single_scene
from mmmodal_playground.speech import any_voice, save_speech
from mmmodal_playground.things import Thing
from pages import Page

VOID = {"img", "line", "link", "meta", "rect"}
HOSTILE = (
    "</p><script>document.title='taken'</script><img src=http://evil/x onerror=alert(1)> & \u202e"
)


def make_media(folder: Path) -> None:
    chance = random.Random(0)
    draw_scene(single_scene(Thing("red", "star"), "train", chance)).save(folder / "a.png")
    save_speech(folder / "a.wav", "where is the red star", any_voice("en", chance))
    (folder / "bad.png").write_bytes(b"no image")


def write_rows(folder: Path, number: int) -> None:
    """Write questions about a picture, a clip, and pictures that cannot be read or are not there."""
    files = (("image", "a.png"), ("audio", "a.wav"), ("image", "bad.png"), ("image", "none.png"))
    rows = []
    for index in range(number):
        kind, uri = files[index % 4]
        asked = [{"type": kind, "media": 0}, {"type": "text", "text": f"Why {index}? {HOSTILE}"}]
        rows.append(
            {
                "id": f"row-{index}-{HOSTILE}",
                "kind": "clip",
                "turns": [{"role": "user", "content": asked}],
                "media": [{"kind": kind, "uri": uri, "description": f"{index} {HOSTILE}"}],
                "groups": [f"{uri}-{index}"],
                "licence": HOSTILE,
            }
        )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")


def values_of(folder: Path, server: Server) -> dict[str, Any]:
    prices = {"input_price": 1_000_000, "output_price": 0}
    return {
        "out": str(folder / "made<b>"),
        "root": str(folder),
        "shard_rows": 8,
        "backends": {
            "writer": {
                "language_model": "openai",
                "options": {"model": "m", "base_url": server.url, **prices},
            }
        },
        "steps": {
            "rows": {"step": "import", "options": {"files": ["rows.jsonl"]}},
            "dialogue": {"inputs": ["rows"], "options": {"turns": 1}},
            "export": {"inputs": ["dialogue"], "options": {"media": "leave"}},
        },
    }


def hostile(request: dict[str, Any], number: int) -> Reply:
    """Cut every fifth answer off, and say what no page may run in the others."""
    if "Why 5" in request["prompt"] or "Why 10" in request["prompt"]:
        return Reply(text=" cut", finish_reason="length")
    return Reply(text=by_digest(request, number).text + HOSTILE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("page")
    make_media(folder)
    write_rows(folder, 40)
    with serving(hostile) as server:
        pipeline = validate(Pipeline, values_of(folder, server), "test")
        path = write_report(pipeline, run_pipeline(pipeline))
    return Page(path.read_text(encoding="utf-8"), VOID)


def test_the_page_is_whole_loads_nothing_and_runs_nothing(page: Page) -> None:
    assert page.open == []
    loaded = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
    ]
    assert loaded and all(value.startswith("data:") for value in loaded)
    assert not page.all("script")
    assert not any(name.startswith("on") for _, tag in page.tags for name in tag)
    assert page.all("meta")[1]["content"].startswith("default-src 'none';")
    for drawing in re.findall(r"<svg\b.*?</svg>", page.text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_it_counts_what_became_of_the_rows_and_why(page: Page) -> None:
    assert "38 rows out of dialogue" in page.said
    assert "2 rejected, 0 failed" in page.said
    assert "answer ended by length" in page.said
    # 38 answers and twice three that were cut off, each of 7 tokens that cost 1 apiece.
    assert "44to models" in page.said
    assert "308.00by the prices given" in page.said
    assert "m-served" in page.said
    assert "torch" in page.said and "mmmodal-datagen" in page.said


def test_twenty_rows_are_shown_with_their_media(page: Page) -> None:
    assert len(page.all("article")) == 20
    assert page.said.count(HOSTILE) > 60  # ids, questions, answers, descriptions and licences
    pictures = [tag["src"] for tag in page.all("img")]
    sounds = [tag["src"] for tag in page.all("audio")]
    assert pictures and sounds
    head, _, data = pictures[0].partition(",")
    assert head == "data:image/png;base64"  # of few colours, it is smaller than JPEG
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (128, 128)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0].partition(",")[2])))
    assert rate == 16_000 and 0.5 < len(samples) / rate < 3
    # What cannot be read is told in its place.
    assert "bad.png" in page.said and "none.png" in page.said


def test_a_run_that_finds_all_finished_leaves_the_report_of_the_one_that_worked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path, 4)
    with serving() as server:
        values = values_of(tmp_path, server)
        path = tmp_path / "pipeline.yaml"
        path.write_text(json.dumps(values))
        assert run(["datagen", "run", str(path)]) == 0
        assert "Report:" in capsys.readouterr().err
        report = tmp_path / "made<b>/report.html"
        first = report.read_text()
        assert run(["datagen", "run", str(path)]) == 0
        assert report.read_text() == first
        assert run(["datagen", "run", str(path), "steps.dialogue.options.turns=2"]) == 0
        assert report.read_text() != first


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no browser is installed")
def test_a_browser_runs_nothing_of_it(tmp_path: Path, page: Page) -> None:
    path = tmp_path / "page.html"
    path.write_text(page.text, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    told = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'browser'}", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "<script" not in told.stdout
    assert "taken" not in told.stdout.partition("</title>")[0]
    assert told.stdout.count("<article") == 20
