"""Training on packs, on accumulated steps and on several ranks gives what the big batch gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from killing import Training
from mmmodal.errors import RecordError
from mmmodal.samples.dataset import PreparedDataset
from mmmodal.samples.lengths import FILE, MeasuredDataset, measure_lengths
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.inputs import open_data, prepared_dataset
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from worlds import logged

SETTINGS = ["log_every=1", "max_tokens=512", "precision=fp32", "train=[projectors,language_model]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 16)


def recipe(start: Path, data: Path, out: Path, *more: str) -> Any:
    given = [f"model={start}", f"data={data}", f"out={out}", *SETTINGS, *more]
    return load_recipe("instruct", given)


def train(start: Path, data: Path, out: Path, *more: str) -> tuple[list[float], dict[str, Any]]:
    """Return the loss of each step and the weights in the end."""
    assert run_stage(recipe(start, data, out, *more)).finished
    return losses(out), dict(mmmodal.load(out).state_dict())


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in logged(out)]


def assert_same(one: tuple[list[float], Any], other: tuple[list[float], Any]) -> None:
    assert one[0] == pytest.approx(other[0], abs=1e-4)  # logged with so many digits
    for name, weight in one[1].items():
        torch.testing.assert_close(other[1][name], weight, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("packing", ["true", "false"])
def test_four_accumulated_steps_train_as_one_big_step(
    start: Path, data: Path, tmp_path: Path, packing: str
) -> None:
    more = [f"packing={packing}", "max_steps=2"]
    big = train(start, data, tmp_path / "big", *more, "batch_size=4")
    small = train(start, data, tmp_path / "small", *more, "batch_size=1", "accumulation=4")
    assert_same(big, small)


def test_a_packed_epoch_trains_as_one_that_is_padded(
    start: Path, data: Path, tmp_path: Path
) -> None:
    """All records in a single step, so that the order plays no part."""
    more = ["max_tokens=4096", "epochs=2"]
    packed = train(start, data, tmp_path / "packed", *more, "packing=true", "batch_size=1")
    padded = train(start, data, tmp_path / "padded", *more, "batch_size=16")
    assert len(packed[0]) == len(padded[0]) == 2
    assert_same(packed, padded)


@pytest.mark.parametrize(
    "deepspeed", ["none", "zero2-offload", pytest.param("zero3", marks=pytest.mark.slow)]
)
@pytest.mark.timeout(900)  # DeepSpeed compiles its CPU optimizer when it is first used
def test_two_ranks_train_as_one(start: Path, data: Path, tmp_path: Path, deepspeed: str) -> None:
    """Of three packs the last step has one alone, which leaves a rank without any."""
    more = ["packing=true", "batch_size=1", "max_tokens=1024", "epochs=1.5"]
    given = (f"model={start}", f"data={data}", *SETTINGS, *more, f"deepspeed={deepspeed}")
    Training.said("instruct", tmp_path / "two", *given, ranks=2).finish()
    two = losses(tmp_path / "two"), dict(mmmodal.load(tmp_path / "two").state_dict())
    one = train(start, data, tmp_path / "one", *more, "accumulation=2")
    if deepspeed == "none":
        assert_same(one, two)
    else:  # its Adam rounds otherwise
        assert one[0] == pytest.approx(two[0], abs=2e-3)


def dataset_of(start: Path, data: Path) -> PreparedDataset:
    chosen = recipe(start, data, Path("out"))
    preparer = mmmodal.load(start).processor.preparer
    return prepared_dataset(chosen, open_data(chosen), preparer, chosen.max_tokens)


def test_lengths_are_those_of_the_prepared_samples_and_are_kept(
    start: Path, data: Path, tmp_path: Path
) -> None:
    dataset = dataset_of(start, data)
    lengths = measure_lengths(dataset, tmp_path)
    assert lengths.tolist() == [len(dataset[i].input_ids) for i in range(len(dataset))]
    before = (tmp_path / FILE).stat().st_mtime_ns
    assert measure_lengths(dataset, tmp_path, workers=1).tolist() == lengths.tolist()
    assert (tmp_path / FILE).stat().st_mtime_ns == before
    (tmp_path / FILE).write_bytes(b"cut off")
    assert measure_lengths(dataset, tmp_path, workers=1).tolist() == lengths.tolist()


def test_data_that_changed_are_measured_anew(start: Path, data: Path, tmp_path: Path) -> None:
    lengths = measure_lengths(dataset_of(start, data), tmp_path)
    rows = data.read_text().splitlines()
    fewer = data.with_name("fewer.jsonl")
    fewer.write_text("\n".join(rows[:5]) + "\n")
    assert measure_lengths(dataset_of(start, fewer), tmp_path).tolist() == lengths[:5].tolist()


def test_a_sample_of_another_length_than_was_told_is_an_error(
    start: Path, data: Path, tmp_path: Path
) -> None:
    dataset = dataset_of(start, data)
    lengths = measure_lengths(dataset, tmp_path)
    assert MeasuredDataset(dataset, lengths)[1].input_ids
    with pytest.raises(RecordError, match=r"records\.jsonl:2: it takes \d+ tokens now, but took"):
        MeasuredDataset(dataset, lengths + 1)[1]


def test_a_bad_record_is_met_before_the_first_step_or_left_out(
    start: Path, data: Path, tmp_path: Path
) -> None:
    rows = data.read_text().splitlines()[:4]
    bad = json.loads(rows[2])
    bad["media"] = [{**medium, "uri": "gone.png"} for medium in bad["media"]] or [
        {"kind": "image", "uri": "gone.png"}
    ]
    path = data.with_name("bad.jsonl")
    path.write_text("\n".join([*rows[:2], json.dumps(bad), rows[3]]) + "\n")
    dataset = dataset_of(start, path)
    for workers in (0, 1):
        with pytest.raises(RecordError, match=r"bad\.jsonl:3: .*gone\.png"):
            measure_lengths(dataset, tmp_path, workers=workers)
    told: list[RecordError] = []
    lengths = measure_lengths(dataset, tmp_path, on_error=told.append)
    assert (lengths == 0).tolist() == [False, False, True, False]
    assert [error.where for error in told] == [f"{path}:3"]
