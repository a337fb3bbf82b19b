"""`--check` runs the parts: one that is at fault is a problem, with its package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import faulty
from mmmodal.cli.main import run
from worlds import compose

PREPARED = "        return item[: len(item) // 4 * 4].view(-1, 4).clone()"
RIGHT = "item[: len(item) // 4 * 4].view(-1, 4)"
FEATURES = "features = self.layer(values)"

FAULTS = {
    # the change of the plugin, and what the problem says
    "raises": ((FEATURES, "features = self.layer(values).nonsense"), "`tower` raised Attribute"),
    "too wide": ((FEATURES, "features = self.layer(values).repeat(1, 1, 2)"), "`tower` returned"),
    "NaN": ((FEATURES, "features = self.layer(values) * float('nan')"), "NaN"),
    "neighbours": ((FEATURES, "features = self.layer(values - values.mean(0))"), "beside others"),
    "noise": ((FEATURES, "features = torch.rand(*values.shape[:2], 8)"), "evaluation mode"),
    "random": (
        (PREPARED, f"        return {RIGHT} + torch.rand(1)"),
        "`preprocess` returned other",
    ),
    "mutates": ((PREPARED, f"        item += 1\n        return {RIGHT}.clone()"), "as it is"),
    "measures": (
        ("    def example", "    def measure(self, item): return (1,)\n\n    def example"),
        "`measure` returned (1,)",
    ),
    "no gradient": ((FEATURES, "features = self.layer(values).detach()"), "without gradients"),
    "BatchNorm": (
        (
            "self.layer = nn.Linear(4, width)\n\n    def forward(self, values, m",
            "self.layer = nn.Sequential(nn.Linear(4, width), Norm())\n\n    def forward(self, values, m",
        ),
        "BatchNorm",
    ),
}
NORM = """
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(x.movedim(-1, 1)).movedim(1, -1)

class Tower(nn.Module):
"""


def text_of(name: str) -> str:
    change = FAULTS[name][0]
    more = [("class Tower(nn.Module):\n", NORM)] if name == "BatchNorm" else []
    return faulty.with_changes(change, *more)


@pytest.fixture(scope="module")
def model(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.sound_model(parts, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.files(tmp_path_factory.mktemp("data"))


def check(model: Path, data: Path, out: Path, *more: str) -> list[str]:
    given = [f"model={model}", f"data={data}", f"out={out}", "batch_size=2", "max_tokens=256"]
    return ["train", "align", "--check", "--json", *given, *more]


TRAINED = "train=[projectors, markers, towers.depth]"


@pytest.mark.parametrize("name", FAULTS)
def test_a_part_at_fault_is_a_problem_that_names_it(
    name: str,
    parts: dict[str, Path],
    model: Path,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with faulty.installed(tmp_path / "plugin", text_of(name)):
        if name == "BatchNorm":  # in evaluation mode it keeps the contract
            model = tmp_path / "model"
            compose(parts["llama"], parts, model, encoders={"depth": "eyes"})
        capfd.readouterr()
        code = run(check(model, data, tmp_path / "out", TRAINED))
    said = capfd.readouterr()
    problems = json.loads(said.out)["problems"]
    assert code == 1
    assert any(FAULTS[name][1] in text and faulty.VERSION in text for text in problems), problems
    assert "'eyes'" in problems[0]
    assert "Traceback" not in said.err


def test_parts_that_keep_their_contracts_are_no_problem(
    model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with faulty.installed(tmp_path / "plugin"):
        code = run(check(model, data, tmp_path / "out", TRAINED))
    result: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert (code, result["problems"], result["notes"]) == (0, [], [])
    assert result["trained_parameters"]["depth_tower"] == 4 * 8 + 8


def test_a_random_tower_that_stays_frozen_is_a_note(
    model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with faulty.installed(tmp_path / "plugin"):
        code = run(check(model, data, tmp_path / "out"))
    result = json.loads(capfd.readouterr().out)
    assert code == 0
    assert "add towers.depth to train.parts" in result["notes"][0]


def test_a_modality_that_the_model_lacks_is_a_problem_with_a_suggestion(
    model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with faulty.installed(tmp_path / "plugin"):
        code = run(check(model, data, tmp_path / "out", "train=[projectors, towers.dept]"))
    result = json.loads(capfd.readouterr().out)
    assert code == 1
    assert "the model has no modality 'dept'. Did you mean 'depth'?" in result["problems"][0]


@pytest.mark.parametrize("choice", ["refuse", "skip"])
def test_an_encoder_that_fails_on_every_row_is_a_problem_also_where_bad_rows_are_skipped(
    choice: str, model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = faulty.with_changes((PREPARED, "        return item.missing"))
    with faulty.installed(tmp_path / "plugin", text):
        code = run(check(model, data, tmp_path / "out", f"on_bad_sample={choice}"))
    result = json.loads(capfd.readouterr().out)
    assert code == 1 and result["problems"]
    assert faulty.VERSION in json.dumps(result)
