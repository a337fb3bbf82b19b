"""Two models of stage 1 become one that answers as each of them did, and then trains on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmmodal
from mmmodal.cli.main import run
from mmmodal.errors import CheckpointError
from mmmodal.making.joining import join
from mmmodal.making.loading import save
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from worlds import clip, compose, logits_of, picture, read_lines, user, write_lines

FEW = ["batch_size=2", "max_steps=3", "learning_rate=0.05", "max_tokens=512", "log_every=1"]


@pytest.fixture(scope="module", params=["qwen2", "llama"], ids=["tied", "untied"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of all modalities, and those of one alone."""
    every = make_records(tmp_path_factory.mktemp("data"), 24)
    rows = read_lines(every)
    files = {"both": every}
    for kind in ("image", "audio"):
        chosen = [row for row in rows if {m["kind"] for m in row["media"]} == {kind}]
        files[kind] = every.with_name(f"{kind}.jsonl")
        write_lines(files[kind], chosen)
    return files


@pytest.fixture(scope="module")
def aligned(
    family: str,
    parts: dict[str, Path],
    data: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Two runs of stage 1 on one language model: pictures alone, and sounds alone."""
    root = tmp_path_factory.mktemp(family)
    for kind in ("image", "audio"):
        compose(parts[family], parts, root / f"start-{kind}", kinds=[kind])
        values = {"model": root / f"start-{kind}", "data": data[kind], "out": root / kind}
        run_stage(load_recipe("align", [*(f"{k}={v}" for k, v in values.items()), *FEW]))
    return {kind: root / kind for kind in ("image", "audio")}


@pytest.fixture(scope="module")
def joined(aligned: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("joined") / "model"
    join(aligned["image"], aligned["audio"], out)
    return out


def logits(folder: Path, *content: Any) -> torch.Tensor:
    """Return the logits of the tokens that every model has, at positions of text."""
    model = mmmodal.load(folder)
    known = min(id_ for ids in model.processor.preparer.markers.values() for id_ in ids.all)
    return logits_of(model, [user(*content, "What is it?")])[..., :known]


def test_both_start_from_the_same_new_ids(aligned: dict[str, Path]) -> None:
    markers = {
        kind: mmmodal.load(path).processor.preparer.markers for kind, path in aligned.items()
    }
    assert markers["image"]["image"].all == markers["audio"]["audio"].all


@pytest.mark.parametrize(("kind", "content"), [("image", picture()), ("audio", clip(1))])
def test_the_joined_model_says_what_each_said(
    aligned: dict[str, Path], joined: Path, kind: str, content: Any
) -> None:
    torch.testing.assert_close(
        logits(joined, content), logits(aligned[kind], content), atol=1e-5, rtol=1e-5
    )


def test_the_order_of_the_two_does_not_matter(
    aligned: dict[str, Path], joined: Path, tmp_path: Path
) -> None:
    join(aligned["audio"], aligned["image"], tmp_path / "out")
    content = (picture(), clip(1))
    torch.testing.assert_close(
        logits(tmp_path / "out", *content), logits(joined, *content), atol=1e-5, rtol=1e-5
    )


def test_the_joined_model_trains_on_in_stage_2(
    joined: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    values = {"model": joined, "data": data["both"], "out": tmp_path / "out"}
    outcome = run_stage(load_recipe("instruct", [*(f"{k}={v}" for k, v in values.items()), *FEW]))
    assert outcome.finished
    assert {"image_projector", "audio_projector", "language_model"} == set(outcome.trained)
    logits(tmp_path / "out", picture(), clip(1))


def test_inputs_are_not_touched_and_nothing_is_overwritten(
    aligned: dict[str, Path], joined: Path
) -> None:
    before = {path: path.read_bytes() for path in aligned["image"].glob("*.*")}
    with pytest.raises(CheckpointError, match="exists already"):
        join(aligned["image"], aligned["audio"], joined)
    join(aligned["image"], aligned["audio"])
    assert before == {path: path.read_bytes() for path in aligned["image"].glob("*.*")}


def test_a_language_model_may_have_the_markers_as_words(tmp_path: Path) -> None:
    """In either model the other's markers are then words of its vocabulary."""
    start, encoders = {}, {"image": "playground-siglip", "audio": "playground-whisper"}
    for kind, encoder in encoders.items():
        start[kind] = tmp_path / kind
        model = mmmodal.compose(backbone="playground-llama", encoders={kind: encoder})
        ids = torch.tensor(model.processor.preparer.markers[kind].all)
        with torch.no_grad():
            model.get_input_embeddings().weight[ids] += 1.0  # as if they had been trained
        save(model, start[kind])
    join(start["image"], start["audio"], tmp_path / "out")
    for kind, content in (("image", picture()), ("audio", clip())):
        one, two = logits(start[kind], content), logits(tmp_path / "out", content)
        known = min(one.shape[-1], two.shape[-1])
        torch.testing.assert_close(one[..., :known], two[..., :known], atol=1e-5, rtol=1e-5)


def test_the_same_modality_twice_is_refused(aligned: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="both have the modality 'image'"):
        join(aligned["image"], aligned["image"])


def test_another_weight_of_the_language_model_is_named(
    aligned: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(aligned["audio"], other)
    weights = load_file(other / "model.safetensors")
    name = "model.language_model.layers.1.mlp.up_proj.weight"
    weights[name][0, 0] += 1e-3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match="differ in the weights of layers.1.mlp.up_proj.weight$"
    ):
        join(aligned["image"], other)


def test_another_language_model_is_refused_with_what_differs(
    family: str, aligned: dict[str, Path], parts: dict[str, Path], tmp_path: Path
) -> None:
    compose(parts["mistral"], parts, tmp_path / "other", kinds=["audio"])
    with pytest.raises(CheckpointError, match=r"language models differ in \w+ \("):
        join(aligned["image"], tmp_path / "other")


def test_the_command_joins(
    aligned: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(aligned["image"]), str(aligned["audio"]), str(tmp_path / "out")]
    assert run(["join", *folders, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["modalities"] == ["image", "audio"]
    assert "mmmodal train instruct" in told.err
