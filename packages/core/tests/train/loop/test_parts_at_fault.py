"""Training names the part at fault: without gradients, with NaN, measured wrongly, or random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import faulty
from fake_packages import install, run_mmmodal
from mmmodal.cli.main import run
from mmmodal.errors import MMModalError, RecordError, TrainingError
from mmmodal.making.loading import load_config
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from worlds import compose, read_lines

FEATURES = "features = self.layer(values)"
TRAINED = "train=[projectors, markers, towers.depth]"


@pytest.fixture(scope="module")
def model(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.sound_model(parts, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.files(tmp_path_factory.mktemp("data"))


def recipe(model: Path, data: Path, out: Path, *more: str) -> Any:
    given = [f"model={model}", f"data={data}", f"out={out}", "batch_size=2", "max_tokens=256"]
    return load_recipe("align", [*given, "max_steps=2", "log_every=1", *more])


def train(text: str, model: Path, data: Path, tmp_path: Path, *more: str) -> Any:
    with faulty.installed(tmp_path / "plugin", text):
        return run_stage(recipe(model, data, tmp_path / "out", *more))


@pytest.mark.parametrize(
    "change",
    [
        "with torch.no_grad():\n            features = self.layer(values)",
        "features = self.layer(values).detach()",
    ],
)
def test_a_part_that_gets_no_gradient_is_named_after_the_first_step(
    change: str, model: Path, data: Path, tmp_path: Path
) -> None:
    text = faulty.with_changes((FEATURES, change))
    with pytest.raises(TrainingError, match="none of its 2 parameters got a gradient") as caught:
        train(text, model, data, tmp_path, TRAINED)
    assert "depth_tower of encoder 'eyes' (mmmodal-depth 0.1)" in str(caught.value)
    assert not (tmp_path / "out/config.json").exists()


def test_a_parameter_that_is_not_used_is_named_and_the_others_train(
    parts: dict[str, Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unused = "self.layer = nn.Linear(4, width)\n        self.idle = nn.Linear(4, width)"
    text = faulty.with_changes(("self.layer = nn.Linear(4, width)", unused))
    with faulty.installed(tmp_path / "first", text):
        compose(parts["llama"], parts, tmp_path / "model", encoders={"depth": "eyes"})
    assert train(text, tmp_path / "model", data, tmp_path, TRAINED).finished
    said = capsys.readouterr().err
    assert "2 of 4 parameters of depth_tower got no gradient in the first step" in said
    assert "model.depth_tower.idle.weight" in said


def test_parts_that_get_gradients_are_not_named(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (TRAINED, "train.learning_rates={towers.depth: 1e-2}")
    assert train(faulty.MODULE, model, data, tmp_path, *settings).finished
    assert "got no gradient" not in capsys.readouterr().err
    assert "depth" in load_config(model).untrained_towers()
    assert load_config(tmp_path / "out").untrained_towers() == []


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_deepspeed_hides_no_gradient(stage: str, model: Path, data: Path, tmp_path: Path) -> None:
    """In a process of its own, as DeepSpeed stays in one."""
    pytest.importorskip("deepspeed")
    given = [f"model={model}", f"data={data}", "batch_size=2", "max_tokens=256", "max_steps=2"]
    command = ["train", "align", TRAINED, f"deepspeed={stage}", *given]
    change = (FEATURES, "features = self.layer(values).detach()")
    for name, text in (("good", faulty.MODULE), ("idle", faulty.with_changes(change))):
        (tmp_path / name).mkdir()
        install(tmp_path / name, "mmmodal-depth", text)
        done = run_mmmodal(*command, f"out={tmp_path / name / 'out'}", path=tmp_path / name)
        assert done.returncode == (0 if name == "good" else 1), done.stderr
        assert ("depth_tower of encoder 'eyes'" in done.stderr) == (name == "idle")
        assert "of depth_projector got no gradient" not in done.stderr


def test_a_random_tower_that_stays_frozen_is_told(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(faulty.MODULE, model, data, tmp_path)
    assert "Warning: the tower of 'depth' has random weights" in capsys.readouterr().err
    assert load_config(tmp_path / "out").untrained_towers() == ["depth"]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("tower of encoder 'eyes'", (FEATURES, "features = self.layer(values) / 0 * 0")),
        (
            "module of projector 'joiner'",
            ("return self.layer(features)\n\n@mmm", "return self.layer(features) / 0 * 0\n\n@mmm"),
        ),
    ],
)
def test_a_stage_whose_every_step_was_skipped_fails_and_names_the_part(
    part: str,
    change: tuple[str, str],
    model: Path,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    given = [f"model={model}", f"data={data}", f"out={out}", "batch_size=2", "max_tokens=256"]
    with faulty.installed(tmp_path / "plugin", faulty.with_changes(change)):
        for _ in range(2):  # resumed, it fails again
            code = run(["train", "align", "--json", *given, "max_steps=2"])
            said = capfd.readouterr()
            assert code == 1 and said.out == ""
            assert "Error: every step was skipped" in said.err
            assert f"the {part} (mmmodal-depth 0.1) returned values that are not" in said.err
    assert not (out / "config.json").exists()
    metrics = read_lines(next(out.glob("**/metrics.jsonl")))
    assert any(part in row.get("skipped_step", "") for row in metrics)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (
            "measure",
            ("    def example", "    def measure(self, item): return (1,)\n\n    def example"),
            "`measure` returned (1,)",
        ),
        (
            "random shape",
            (
                "        return item[: len",
                "        item = item[: 4 + 4 * int(torch.randint(len(item) // 4, ()))]\n"
                "        return item[: len",
            ),
            "`preprocess` returned other features",
        ),
    ],
)
@pytest.mark.parametrize("streaming", ["false", "true"])
def test_an_encoder_that_measures_wrongly_is_blamed_and_not_the_file(
    name: str,
    change: tuple[str, str],
    expected: str,
    streaming: str,
    model: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    more = [f"data={{path: {data}, streaming: {streaming}}}", "packing=true", "max_steps=60"]
    with pytest.raises(RecordError) as caught:
        train(faulty.with_changes(change), model, data, tmp_path, *more)
    message = str(caught.value)
    assert expected in message and "'eyes' (mmmodal-depth 0.1)" in message
    assert message.count(".jsonl:") == 1
    assert "changed" not in message


def test_slots_that_features_do_not_fill_name_the_parts(
    model: Path, data: Path, tmp_path: Path
) -> None:
    """The tower keeps its contract on the example, and breaks it on a longer item."""
    change = "features = self.layer(values)\n        features = features[:, :3]"
    with pytest.raises(MMModalError, match="slots") as caught:
        train(faulty.with_changes((FEATURES, change)), model, data, tmp_path)
    assert "encoder 'eyes' (mmmodal-depth 0.1)" in str(caught.value)
    assert "projector 'joiner' (mmmodal-depth 0.1)" in str(caught.value)
