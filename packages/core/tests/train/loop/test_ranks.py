"""Ranks that see other media, or none, train together; a run goes on on another number of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from killing import Fate, Training
from mmmodal_playground.records import make_records
from poison import poisoned, text_row
from worlds import read_lines, write_lines

SETTINGS = {
    "batch_size": 1,
    "max_steps": 6,
    "log_every": 1,
    "max_tokens": 512,
    "save_every": 2,
    "note_rows": True,
    "precision": "fp32",
}

SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("zero2-offload", "zero3")]
RANKS = ["none", *SLOW]
"""How two ranks train; stage/test_stage.py has DeepSpeed on ranks without media in `make test`."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 7)


def training(start: Path, data: Path, out: Path, **more: Any) -> Training:
    return Training("align", {"model": start, "data": data, **SETTINGS, **more}, out)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def rows_of_steps(training: Training) -> list[list[str]]:
    """Return the rows that each step saw, on all ranks."""
    steps: dict[int, list[str]] = {}
    for path in training.run.glob("rows-*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            steps.setdefault(row["step"], []).extend(row["rows"])
    return [sorted(steps[step]) for step in sorted(steps)]


@pytest.mark.timeout(900)
def test_without_deepspeed_a_run_goes_from_one_rank_to_two_and_back(
    start: Path, data: Path, tmp_path: Path
) -> None:
    """Every step has the same rows, also the last one of an epoch, which has one alone."""
    alone = training(start, data, tmp_path / "alone", accumulation=2)
    alone.finish()
    moved = alone.elsewhere(tmp_path / "moved")
    assert moved.start(Fate("os.rename", "checkpoint-4")).wait() == -9
    on_two = dataclasses.replace(moved, ranks=2)
    running = on_two.start(Fate("os.rename", "checkpoint-6"))
    assert running.wait() == -9
    assert "2 conversations per step: accumulation is 1 on 2 processes" in running.text()
    moved.finish()
    assert rows_of_steps(moved) == rows_of_steps(alone)
    one, other = weights(alone.out), weights(moved.out)
    for name in one:
        torch.testing.assert_close(other[name], one[name], atol=1e-5, rtol=0)


@pytest.mark.timeout(900)
def test_a_number_of_ranks_that_cannot_make_up_a_step_is_refused(
    start: Path, data: Path, tmp_path: Path
) -> None:
    alone = training(start, data, tmp_path / "out", accumulation=3)
    assert alone.start(Fate("os.rename", "checkpoint-4")).wait() == -9
    running = dataclasses.replace(alone, ranks=2).start()
    assert running.wait() == 1
    assert "was begun with 3 conversations per step, which 2 processes" in running.text()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("deepspeed", RANKS)
def test_a_rank_without_media_or_without_rows_hangs_nobody(
    start: Path, data: Path, tmp_path: Path, deepspeed: str
) -> None:
    """Of seven rows, four of text alone, two ranks see one each, and one rank none in the end."""
    rows = read_lines(data)
    for row in rows[::2]:
        row["messages"] = [
            {"role": m["role"], "content": [p for p in m["content"] if p["type"] == "text"]}
            for m in row["messages"]
        ]
        row["media"] = []
    path = data.parent / "mixed.jsonl"
    write_lines(path, rows)
    two = training(start, path, tmp_path / "out", deepspeed=deepspeed, epochs=1, max_steps="null")
    two = dataclasses.replace(two, ranks=2)
    two.finish()
    per_rank = [row["rows"] for row in read_lines(two.run / "rows-1.jsonl")]
    assert [len(rows) for rows in per_rank] == [1, 1, 1, 0]
    before, after = weights(start), weights(two.out)
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"image_projector", "audio_projector", "language_model"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "deepspeed",
    [pytest.param("none", marks=pytest.mark.slow), pytest.param("zero3", marks=pytest.mark.slow)],
)
def test_two_ranks_go_on_to_the_same_weights(
    start: Path, data: Path, tmp_path: Path, deepspeed: str
) -> None:
    straight = training(start, data, tmp_path / "straight", deepspeed=deepspeed)
    straight = dataclasses.replace(straight, ranks=2)
    straight.finish()
    killed = straight.elsewhere(tmp_path / "killed")
    assert killed.start(Fate("os.rename", "checkpoint-4")).wait() == -9
    killed.finish()
    assert killed.story() == straight.story()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("deepspeed", RANKS)
def test_a_loss_that_is_not_finite_on_one_rank_skips_the_step_on_all(
    start: Path, data: Path, tmp_path: Path, deepspeed: str
) -> None:
    rows = read_lines(data)[:5]
    path = data.parent / f"nan-{deepspeed}.jsonl"
    write_lines(path, [*rows, text_row("nan")])
    kept = {"save_every": 1, "keep_checkpoints": 9, "max_steps": 7, "deepspeed": deepspeed}
    bad = training(poisoned(start, tmp_path / "poisoned"), path, tmp_path / "out", **kept)
    bad = dataclasses.replace(bad, ranks=2)
    running = bad.start(Fate("os.rename", "checkpoint-7"))
    assert running.wait() == -9, running.text()
    steps = [i for i, rows in enumerate(rows_of_steps(bad), 1) if f"{path}:6" in rows]
    assert f"Step {steps[0]} is skipped: the loss is not finite (rows {path}:6)" in running.text()
    folder = bad.run / "checkpoints"
    states = [load_file(folder / f"checkpoint-{step}/trained.safetensors") for step in range(1, 7)]
    still = [
        step
        for step, (one, other) in enumerate(itertools.pairwise(states), 2)
        if all(torch.equal(one[name], other[name]) for name in one)
    ]
    assert still and still == [step for step in steps if 1 < step < 7]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("deepspeed", RANKS)
def test_two_ranks_evaluate_as_one(start: Path, data: Path, tmp_path: Path, deepspeed: str) -> None:
    """Each evaluates a share; under ZeRO-3, which gathers weights for all together, each all."""
    rows = read_lines(make_records(tmp_path / "held-out", 13, seed=7))
    held_out = write_lines(tmp_path / "held-out/records.jsonl", [*rows, text_row("no medium")])
    evaluated = {"eval": held_out, "eval_every": 4, "eval_max_new_tokens": 4, "keep_best": "loss"}
    alone = training(start, data, tmp_path / "alone", accumulation=2, **evaluated)
    alone.finish()
    settings = {**evaluated, "deepspeed": deepspeed}
    two = dataclasses.replace(training(start, data, tmp_path / "two", **settings), ranks=2)
    two.finish()
    one, other = (each.story()["evaluations"] for each in (alone, two))
    assert [row["step"] for row in one] == [row["step"] for row in other] == [0, 4, 6]
    for key in one[0].keys() - {"epoch"}:  # of the same weights; ZeRO-3 sums other chunks
        rounding = 1e-6 if deepspeed == "zero3" else 0
        assert other[0][key] == pytest.approx(one[0][key], rel=rounding, abs=0), key
    assert other[-1]["eval_loss"] == pytest.approx(one[-1]["eval_loss"], abs=1e-4)
    plain = training(start, data, tmp_path / "plain", deepspeed=deepspeed)
    plain = dataclasses.replace(plain, ranks=2)
    plain.finish()
    assert other[-1]["eval_loss"] < other[-2]["eval_loss"]
    assert two.story()["weights"] == plain.story()["weights"]
