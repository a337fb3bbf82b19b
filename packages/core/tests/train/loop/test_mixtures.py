"""Weighted datasets, packed and with rates of their own: exact to the bit through a kill."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from killing import Fate, Training
from mmmodal.pretrained import read_pickled
from mmmodal_playground.records import make_records


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [make_records(tmp_path_factory.mktemp("data"), number) for number in (6, 3)]


def mixed(start: Path, sources: list[Path], out: Path, **more: Any) -> Training:
    weighted = [{"path": str(p), "weight": w} for p, w in zip(sources, (0.5, 2), strict=True)]
    settings = {
        "model": start,
        "data": json.dumps(weighted),
        "train.learning_rates": json.dumps({"projectors": 1e-3}),
        "batch_size": 1,
        "max_tokens": 512,
        "epochs": 2,
        "log_every": 1,
        "save_every": 1,
        "note_rows": True,
        **more,
    }
    return Training("align", settings, out)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("packing", [False, True])
def test_a_mixture_goes_on_bitwise(
    start: Path, sources: list[Path], tmp_path: Path, packing: bool
) -> None:
    """Two epochs hold half of the first file each, and every record of the second four times."""
    straight = mixed(start, sources, tmp_path / "straight", packing=packing)
    straight.finish()
    story = straight.story()
    seen = Counter(row for step in story["rows"]["rows-0.jsonl"] for row in step["rows"])
    assert seen == {
        **{f"{sources[0]}:{line}": 1 for line in range(1, 7)},
        **{f"{sources[1]}:{line}": 4 for line in range(1, 4)},
    }
    killed = straight.elsewhere(tmp_path / "killed")
    assert killed.start(Fate("os.rename", "checkpoint-3")).wait() == -9
    killed.finish()
    assert killed.story() == story


def test_a_part_learns_at_its_own_rate(start: Path, sources: list[Path], tmp_path: Path) -> None:
    training = mixed(start, sources, tmp_path / "out", warmup_ratio=0, schedule="constant")
    assert training.start(Fate("os.rename", "checkpoint-2")).wait() == -9
    path = training.run / "checkpoints/checkpoint-1/optimizer.pt"
    groups = read_pickled(path)["param_groups"]
    assert {group["lr"] for group in groups} == {1e-3, 1e-4}
