"""A run reads data sets of the Hub at the commit with which it began."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_hub import DataHub, data_hub, instead_of_the_hub_of_data
from mmmodal.errors import CheckpointError, RecordError
from mmmodal.samples.dataset import Extent
from mmmodal.train.recipe import Recipe, load_recipe
from mmmodal.train.run.folder import NOTED, RUN, begin_run, find_run
from mmmodal.train.run.revisions import pinned


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    monkeypatch.chdir(tmp_path)
    with data_hub() as server, instead_of_the_hub_of_data(server, tmp_path / "cache"):
        yield server


def recipe(data: str) -> Recipe:
    """Return a recipe that reads some data."""
    return load_recipe("align", ["model=m", "out=out", f"data={data}"])


def begin(data: str, *, fresh: bool = False) -> str | None:
    """Begin or resume a run; return the revision of its first data set."""
    found = pinned(recipe(data), fresh)
    begin_run(found, find_run(found, fresh), fresh, Extent(1, "usable records"))
    return found.data[0].revision


@pytest.mark.parametrize("data", ["lab/one", "hf://datasets/lab/one", "[lab/one, a.jsonl]"])
def test_a_run_stays_at_the_commit_that_it_notes(hub: DataHub, data: str) -> None:
    first = hub.add("lab/one", {"rows.jsonl": b"{}"})
    assert begin(data) == first
    noted = json.loads(Path("out", RUN, NOTED).read_text())
    assert noted["mix"][0]["revision"] == first
    second = hub.add("lab/one", {"rows.jsonl": b"[]"})
    assert begin(data) == first
    assert begin(data, fresh=True) == second


def test_a_run_with_another_revision_is_another_run(hub: DataHub) -> None:
    first = hub.add("lab/one", {"rows.jsonl": b"{}"})
    second = hub.add("lab/one", {"rows.jsonl": b"[]"})
    assert begin("[{path: lab/one, revision: first}]") == first
    assert begin(f"[{{path: lab/one, revision: {first}}}]") == first
    with pytest.raises(CheckpointError, match="begun with other values of mix"):
        begin(f"[{{path: lab/one, revision: {second}}}]")


def test_local_data_have_no_commit(hub: DataHub) -> None:
    assert begin("a.jsonl") is None
    assert begin("[{path: a.jsonl}]") is None


def test_a_data_set_that_is_not_there_is_an_error_at_the_start(hub: DataHub) -> None:
    with pytest.raises(RecordError, match="there is no such data set on the Hub"):
        begin("lab/none")
