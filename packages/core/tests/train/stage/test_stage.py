"""Training changes what it should, keeps the rest bitwise, survives Ctrl-C and goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from killing import Training
from mmmodal.errors import ConfigError, MMModalError, RecordError
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from worlds import read_lines, record, write_lines

SMALL = ["batch_size=2", "max_steps=6", "log_every=1", "weight_decay=0.1", "max_tokens=512"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module", params=["qwen2", "llama"], ids=["tied", "untied"])
def both(request: pytest.FixtureRequest, composed: Callable[[str], Path]) -> Path:
    """A model whose head is tied to its embeddings, and one whose head is not."""
    return composed(request.param)


def recipe(stage: str, model: Path, data: Path, out: Path, *more: str) -> Any:
    return load_recipe(stage, [f"model={model}", f"data={data}", f"out={out}", *SMALL, *more])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(mmmodal.load(folder).state_dict())


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_align_trains_projectors_and_marker_rows_alone(
    both: Path, data: Path, tmp_path: Path
) -> None:
    before = weights(both)
    run_stage(recipe("align", both, data, tmp_path / "out"))
    after = weights(tmp_path / "out")
    embedding = "model.language_model.embed_tokens.weight"
    moved = {name.split(".")[1] for name in changed(before, after)} - {"weight"}
    assert moved == {"image_projector", "audio_projector", "language_model"}
    assert {n for n in changed(before, after) if "language_model" in n} == {embedding}
    rows = (before[embedding] != after[embedding]).any(-1).nonzero().flatten().tolist()
    markers = mmmodal.load(both).processor.preparer.markers.values()
    assert rows == sorted(i for marker in markers for i in (marker.begin, marker.end))


def test_instruct_trains_the_language_model_and_keeps_the_towers(
    both: Path, data: Path, tmp_path: Path
) -> None:
    before = weights(both)
    run_stage(recipe("instruct", both, data, tmp_path / "out"))
    moved = changed(before, weights(tmp_path / "out"))
    assert not {name for name in moved if "_tower." in name}
    assert {name.split(".")[1] for name in moved if name.startswith("model.")} == {
        "image_projector", "audio_projector", "language_model",
    }  # fmt: skip
    layers = {name for name in before if "layers.0" in name and "language_model" in name}
    assert layers <= moved


def test_the_input_folder_is_not_touched(start: Path, data: Path, tmp_path: Path) -> None:
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in start.iterdir()}
    run_stage(recipe("align", start, data, tmp_path / "out"))
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in start.iterdir()} == before


def test_metrics_are_json_lines_and_checkpoints_go_when_done(
    start: Path, data: Path, tmp_path: Path
) -> None:
    outcome = run_stage(recipe("align", start, data, tmp_path / "out"))
    rows = read_lines(tmp_path / "out/run/metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert outcome.finished and outcome.steps == 6
    assert not (tmp_path / "out/run/checkpoints").exists()
    with pytest.raises(MMModalError, match="holds a finished model"):
        run_stage(recipe("align", start, data, tmp_path / "out"))


def test_an_interrupted_run_goes_on_to_the_same_weights(
    start: Path, data: Path, tmp_path: Path
) -> None:
    run_stage(recipe("align", start, data, tmp_path / "straight"))
    given = (f"model={start}", f"data={data}", *SMALL)
    training = Training.said("align", tmp_path / "broken", *given)
    running = training.start()
    training.wait_for(running, (training.run / "metrics.jsonl").exists)
    running.kill(signal.SIGINT)
    assert running.wait() == 130, running.text()
    assert "Run the same command again to resume" in running.text()
    assert "Traceback" not in running.text()
    kept = list((training.run / "checkpoints").iterdir())
    names = {path.name for path in kept[0].iterdir()}
    assert "trained.safetensors" in names and "model.safetensors" not in names
    assert training.finish().splitlines()[-1] == str(tmp_path / "broken")
    assert not changed(weights(tmp_path / "straight"), weights(tmp_path / "broken"))


def test_a_changed_recipe_does_not_continue_another_run(
    start: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "run").mkdir(parents=True)
    noted = recipe("align", start, data, out).fingerprint()
    (out / "run/recipe.json").write_text(json.dumps(noted))
    with pytest.raises(MMModalError, match="was begun with other values of learning_rate"):
        run_stage(recipe("align", start, data, out, "learning_rate=0.5"))


def test_a_start_that_fails_leaves_nothing_behind(start: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(MMModalError):
        run_stage(recipe("align", tmp_path / "nosuch", data, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert run_stage(recipe("align", start, data, tmp_path / "out")).finished


def test_fresh_removes_no_folder_that_is_not_a_run(start: Path, data: Path, tmp_path: Path) -> None:
    notes = tmp_path / "out/run/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    with pytest.raises(MMModalError, match="is not a training run"):
        run_stage(recipe("align", start, data, tmp_path / "out"), fresh=True)
    assert notes.read_text() == "mine"


def test_half_precision_does_not_round_what_trains(start: Path, data: Path, tmp_path: Path) -> None:
    still = ["learning_rate=1e-12", "weight_decay=0", "precision=bf16"]
    run_stage(recipe("instruct", start, data, tmp_path / "out", *still))
    before, after = weights(start), weights(tmp_path / "out")
    for name in before:
        torch.testing.assert_close(after[name], before[name], atol=1e-9, rtol=0)


def test_all_errors_of_a_recipe_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(
            "align", ["model=a", "out=b", "learning_rat=1", "batch_size=0", "train=[tower]"]
        )
    text = str(caught.value)
    assert "'data' is missing" in text
    assert "Did you mean 'learning_rate'?" in text
    assert "'batch_size'" in text and "'train" in text


def test_an_unknown_recipe_suggests_a_known_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'align'"):
        load_recipe("aling")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"media": [{"kind": "image", "uri": "gone.png"}]}, "gone.png"),
        ({"media": [{"kind": "image", "uri": "../gone.png"}]}, r"\.\./gone\.png"),
    ],
)
def test_a_bad_medium_names_its_row(
    start: Path, tmp_path: Path, damage: dict[str, Any], message: str
) -> None:
    path = write_lines(tmp_path / "bad.jsonl", [record("x", ("image", "x.png"), **damage)])
    with pytest.raises(RecordError, match=rf"bad\.jsonl:1: .*{message}"):
        run_stage(recipe("align", start, path, tmp_path / "out"))


def test_a_conversation_that_is_too_long_names_its_row(
    start: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecordError, match=r"records\.jsonl:\d+: one turn alone takes \d+ tokens"):
        run_stage(recipe("align", start, data, tmp_path / "out", "max_tokens=10"))


@pytest.mark.timeout(900)  # DeepSpeed compiles its CPU optimizer when it is first used
@pytest.mark.parametrize(
    ("deepspeed", "stage"),
    [
        ("zero2-offload", "instruct"),
        ("zero3", "instruct"),
        pytest.param("zero3", "align", marks=pytest.mark.slow),
    ],
)
def test_two_ranks_train_under_deepspeed_also_on_text_alone(
    start: Path, data: Path, tmp_path: Path, deepspeed: str, stage: str
) -> None:
    """Of four records the ranks see mixed media and text alone, in different steps."""
    rows = read_lines(data)[:4]
    for row in rows[::2]:
        row["messages"] = [
            {"role": m["role"], "content": [p for p in m["content"] if p["type"] == "text"]}
            for m in row["messages"]
        ]
        row["media"] = []
    mixed = data.parent / f"mixed-{deepspeed}-{stage}.jsonl"
    write_lines(mixed, rows)
    out = tmp_path / "out"
    few = ("batch_size=1", "max_steps=4", "precision=fp32", f"deepspeed={deepspeed}")
    Training.said(stage, out, f"model={start}", f"data={mixed}", *SMALL, *few, ranks=2).finish()
    rows = read_lines(out / "run/metrics.jsonl")
    assert sum("loss" in row for row in rows) == 4
    moved = changed(weights(start), weights(out))
    assert any("image_projector" in name for name in moved)
    assert not any("_tower." in name for name in moved)
    in_language_model = {name for name in moved if "language_model" in name}
    assert ("model.language_model.embed_tokens.weight" in moved) and (
        (len(in_language_model) == 1) == (stage == "align")
    )
