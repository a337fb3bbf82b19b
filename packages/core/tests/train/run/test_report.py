"""A finished stage leaves a report that is whole in one file and says what happened."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mmmodal.errors import CheckpointError
from mmmodal.reports.curves import figure_chart, loss_chart
from mmmodal.train.recipe.recipe import Recipe, load_recipe
from mmmodal.train.run.report import write_report
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from pages import Page
from worlds import write_lines

VOID = {"link", "meta"}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    given = [f"model={tmp_path / 'm'}", "data=a.jsonl", f"out={tmp_path / '<b>out'}"]
    return load_recipe("instruct", given)


def written(folder: Path, recipe: Recipe, rows: list[dict[str, float]]) -> str:
    metrics = folder / "metrics.jsonl"
    write_lines(metrics, rows)
    path = write_report(
        folder,
        recipe,
        metrics=metrics,
        mix=[("a<b>.jsonl", 1200, 0.5, 600), ("b.jsonl", 10, 1.0, 10)],
        trained={"image_projector": 82432, "language_model": 11930880},
        versions={"torch": "2.15"},
    )
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def family() -> str:
    return "qwen2"


ROWS: list[dict[str, float]] = [
    {"step": 10 * n, "loss": 4.0 / n, "learning_rate": 2e-5, "grad_norm": 1.0,
     "tokens_per_second": 1000.0 + n, "utilisation": 0.98, "waiting_seconds": 2.0}
    for n in range(1, 9)
]  # fmt: skip


def test_the_report_is_whole_in_one_file(tmp_path: Path, recipe: Recipe) -> None:
    text = written(tmp_path, recipe, ROWS)
    page = Page(text, VOID)
    assert page.open == []
    assert all(value.startswith("data:") for value in page.loaded)
    assert not re.search(r"<script|https?:|@import|url\(", text)
    for drawing in re.findall(r"<svg\b.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_the_report_says_what_happened(tmp_path: Path, recipe: Recipe) -> None:
    last = {"step": 80, "train_runtime": 754.0, "skipped_rows": 3}
    text = written(tmp_path, recipe, [*ROWS, last])
    assert '<span class="number">0.5</span> is the loss at the end, from 4' in text
    assert "12&thinsp;min 34&thinsp;s" in text
    assert "1,004 tokens/s" in text
    assert "the loss goes from 4 to 0.5 in 80 steps" in text
    assert "Throughput: from 1e+03 to 1.01e+03 tokens/s" in text
    assert all(title in text for title in ("Packing", "Learning rate", "Gradient"))
    assert "a&lt;b&gt;.jsonl" in text and ">1,200<" in text and ">600<" in text
    assert "Rows left out</th><td>3<" in text
    assert "max_tokens: 8192" in text and "torch</th><td>2.15" in text
    assert "<b>" not in text


def test_what_was_not_logged_is_not_drawn(tmp_path: Path, recipe: Recipe) -> None:
    text = written(tmp_path, recipe, [{"step": 1, "loss": 2.0}])
    assert "Throughput" not in text and "Packing" not in text
    assert "no loss was logged" in written(tmp_path, recipe, [])


def test_a_report_that_cannot_be_written_is_one_clear_error(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(CheckpointError, match="the model was saved, but there is no report"):
        written(tmp_path, recipe, ROWS)


@pytest.mark.parametrize("highest", [0.0, 3e-7, 0.97, 1.0, 7.0, 12_345.0, 3.2e8])
def test_a_figure_of_any_size_fits_its_scale(highest: float) -> None:
    rows = [{"step": step, "value": highest * step / 9} for step in range(10)]
    drawing = figure_chart(rows, "value", "Figure", "units")
    heights = re.findall(r'circle class="end" cx="[\d.]+" cy="([\d.]+)"', drawing)
    assert 32 <= float(heights[0]) <= 222
    ElementTree.fromstring(drawing)


def test_losses_that_are_no_numbers_are_left_out() -> None:
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 1.0}]
    assert "from 2 to 1 in 3 steps" in loss_chart(rows, "Loss")


def test_a_stage_writes_its_report_when_it_is_done(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_records(tmp_path / "data", 4)
    given = [f"model={start}", f"data={data}", f"out={tmp_path / 'out'}", "max_tokens=512"]
    run_stage(load_recipe("align", [*given, "batch_size=2", "max_steps=2", "log_every=1"]))
    path = tmp_path / "out/run/report.html"
    assert f"Report: {path}" in capsys.readouterr().err
    text = path.read_text(encoding="utf-8")
    assert str(data) in text and "mmmodal-core" in text
    assert Page(text, VOID).open == []
