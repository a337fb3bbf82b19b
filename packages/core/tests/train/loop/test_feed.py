"""Media are read ahead by workers; how long a step waits for them, and what it holds, is logged."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from beeps import make_records
from mmmodal.cli.main import run
from mmmodal.train.loop.feed import planned_feed
from mmmodal.train.loop.throughput import Throughput
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.arguments import arguments_of
from mmmodal.train.stage.inputs import open_data, prepared_dataset
from mmmodal.train.stage.plan import Plan
from mmmodal.train.stage.stage import run_stage
from worlds import logged


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 8)


def values(start: Path, data: Path, out: Path, *more: str) -> list[str]:
    small = ["batch_size=2", "max_steps=3", "log_every=1", "max_tokens=512"]
    return [f"model={start}", f"data={data}", f"out={out}", *small, *more]


def batches(start: Path, data: Path, out: Path, *more: str) -> Iterator[Any]:
    recipe = load_recipe("align", values(start, data, out, "max_steps=4", *more))
    model = mmmodal.load(start, device="cpu")
    preparer = model.processor.preparer
    dataset = prepared_dataset(recipe, open_data(recipe), preparer, recipe.max_tokens)
    arguments = arguments_of(recipe, out, Plan.of(recipe, str(start), has_gpu=False))
    return iter(planned_feed(recipe, dataset, out, arguments).loader(arguments))


def test_workers_bring_the_same_batches(start: Path, data: Path, tmp_path: Path) -> None:
    alone = list(batches(start, data, tmp_path / "a"))
    helped = list(batches(start, data, tmp_path / "b", "workers=2", "prefetch=1"))
    assert len(alone) == len(helped) == 4
    for one, other in zip(alone, helped, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one if torch.is_tensor(one[key]))


def test_batches_are_ready_before_they_are_asked_for(
    start: Path, data: Path, tmp_path: Path
) -> None:
    """A step that takes long leaves time to prepare the next ones."""
    coming = batches(start, data, tmp_path / "out", "workers=1")
    began = time.perf_counter()
    next(coming)
    first = time.perf_counter() - began
    time.sleep(3 * first + 1)
    began = time.perf_counter()
    next(coming)
    assert time.perf_counter() - began < 0.5 * first


def test_every_log_tells_speed_fullness_and_waiting(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stage(load_recipe("align", values(start, data, tmp_path / "out")))
    rows = logged(tmp_path / "out")
    assert len(rows) == 3
    for row in rows:
        assert row["tokens_per_second"] > 0
        assert 0 < row["utilisation"] <= 1
        assert row["waiting_seconds"] >= 0
    assert "tokens/s=" in capsys.readouterr().err


def test_tokens_are_counted_without_padding() -> None:
    meter = Throughput()
    ids, mask = torch.ones(2, 10, dtype=torch.long), torch.ones(2, 10, dtype=torch.long)
    mask[1, 4:] = 0
    meter.count([{"input_ids": ids, "attention_mask": mask}], waited=0.25)
    time.sleep(0.05)
    figures = meter.figures()
    assert figures["utilisation"] == 14 / 20
    assert figures["waiting_seconds"] == 0.25
    assert 0 < figures["tokens_per_second"] < 14 / 0.05


def test_a_pack_is_compared_with_what_it_could_hold() -> None:
    meter = Throughput(room=40)
    meter.count([{"input_ids": torch.ones(1, 30)}] * 2, waited=0.0)
    assert meter.figures()["utilisation"] == 0.75
    assert meter.figures()["tokens_per_second"] == 0  # it begins anew


def test_features_can_be_computed_by_a_command_before_any_training(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = values(start, data, tmp_path / "out", f"feature_cache={tmp_path / 'cache'}")
    assert run(["data", "cache", "align", *given, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"image", "audio"}
    assert not (tmp_path / "out").exists()
    written = sorted((tmp_path / "cache").rglob("*.safetensors"))
    run_stage(load_recipe("align", given))
    assert sorted((tmp_path / "cache").rglob("*.safetensors")) == written


def test_the_command_says_what_is_missing(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "cache", "align", *values(start, data, tmp_path / "out")]) == 1
    assert "'feature_cache' is missing" in capsys.readouterr().err
