"""Training on streamed data: every row once an epoch, and exact to the bit through a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from killing import Fate, Training
from mmmodal_playground.records import make_records

STEPS = 10


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [make_records(tmp_path_factory.mktemp("data"), number) for number in (13, 5)]


def streamed(start: Path, sources: Sequence[Path], out: Path, **more: Any) -> Training:
    """Return a training on a streamed and an indexed file, in the proportions 3 to 1."""
    data = [
        {"path": str(sources[0]), "streaming": True, "weight": 3},
        {"path": str(sources[1])},
    ]
    settings = {
        "model": start,
        "data": json.dumps(data),
        "batch_size": 1,
        "max_steps": STEPS,
        "shuffle_window": 16,
        "max_tokens": 512,
        "log_every": 3,
        "save_every": 2,
        "note_rows": True,
        "weight_decay": 0.1,
        "learning_rate": 0.01,
        "precision": "fp32",
        **more,
    }
    return Training("align", settings, out)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("packing", [False, True])
def test_a_killed_run_goes_on_bitwise(
    start: Path, sources: list[Path], tmp_path: Path, packing: bool
) -> None:
    straight = streamed(start, sources, tmp_path / "straight", packing=packing)
    straight.finish()
    story = straight.story()
    killed = straight.elsewhere(tmp_path / "killed")
    assert killed.start(Fate("os.rename", "checkpoint-6")).wait() == -9
    killed.finish()
    assert killed.story() == story
