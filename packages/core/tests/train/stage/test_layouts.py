"""Data in every layout in which people hold them go from a check to both stages of training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_hub import data_hub, instead_of_the_hub_of_data
from layouts import LAYOUTS, MEDIA, hub_files, write_media
from mmmodal.records.dataset import read_records
from mmmodal.records.shards import find_shards
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from worlds import logged

Run = Callable[..., tuple[int, str, str]]

SMALL = ["batch_size=2", "max_steps=2", "log_every=1", "max_tokens=512", "precision=fp32"]
FAST = {"ms-swift", "Parquet of captions"}
"""The layouts whose test is quick enough to run always, besides the Hub's."""


def check(entry: dict[str, Any], records: int, data: Run) -> None:
    """Check the data of an entry of a recipe by the command."""
    options = [f"--{key}={entry[key]}" for key in ("name", "split") if key in entry]
    code, out, err = data("check", entry["path"], *options, "--json")
    assert (code, json.loads(out)["errors"]) == (0, []), err
    assert json.loads(out)["records"] == records


def train(start: Path, entry: dict[str, Any], root: Path) -> None:
    """Train both stages, the second on what the first wrote."""
    model = start
    for stage in ("align", "instruct"):
        given = [f"model={model}", f"data={json.dumps([entry])}", f"out={root / stage}"]
        run_stage(load_recipe(stage, [*given, *SMALL]))
        losses = [row["loss"] for row in logged(root / stage)]
        assert len(losses) == 2 and all(0 < loss < 100 for loss in losses)
        model = root / stage


@pytest.mark.parametrize(
    "layout",
    [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in LAYOUTS],
)
def test_data_of_a_layout_are_checked_and_trained_on(
    layout: str, start: Path, tmp_path: Path, data: Run
) -> None:
    write_media(tmp_path)
    entry = LAYOUTS[layout](tmp_path)
    records = [each for _, each in read_records(find_shards(entry["path"], name=entry.get("name")))]

    assert {len(each.media) for each in records} == {MEDIA.get(layout, 1)}
    check(entry, len(records), data)
    train(start, entry, tmp_path)


@pytest.mark.parametrize("streaming", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_data_set_of_the_hub_is_checked_and_trained_on(
    streaming: bool, start: Path, tmp_path: Path, data: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with data_hub() as hub, instead_of_the_hub_of_data(hub, tmp_path / "cache"):
        hub.add("lab/captions", hub_files(tmp_path))
        entry = {"path": "lab/captions", "split": "train"}

        check(entry, 6, data)
        train(start, entry | {"streaming": streaming}, tmp_path)
