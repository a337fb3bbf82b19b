"""The commands `compare` and `gate`: tables, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluations import case_result, write_evaluation
from mmmodal_eval.comparing.command import compare, gate


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """Return the results of a good model and of a bad one."""
    good = [
        case_result(str(index), float(index % 10 != 0), lang=("en", "ms")[index % 2])
        for index in range(200)
    ]
    bad = [
        case_result(str(index), float(index % 3 != 0), lang=("en", "ms")[index % 2])
        for index in range(201)
    ]
    return str(write_evaluation(tmp_path / "good", good)), str(
        write_evaluation(tmp_path / "bad", bad)
    )


def test_differences_are_printed_as_a_table(folders: tuple[str, str]) -> None:
    found = CliRunner().invoke(compare, folders)
    head, whole, *slices = found.stdout.splitlines()
    assert head.split()[:6] == ["SCORER", "SLICE", "CASES", "CLUSTERS", "A", "B"]
    assert whole.split()[:6] == ["exact", "all", "200", "200", "0.9", "0.665"]
    assert whole.endswith("B is worse") and len(slices) == 2
    assert (
        found.stderr == "A is good, B is bad: 200 questions of both\nNote: 1 case is only in bad\n"
    )


def test_differences_are_printed_as_json(folders: tuple[str, str]) -> None:
    found = json.loads(CliRunner().invoke(compare, [*folders, "--json"]).stdout)
    assert found["shared"]["only_b"] == 1 and found["differences"][0]["verdict"] == "worse"


@pytest.mark.parametrize(
    ("order", "allow", "code"), [(1, "0", 1), (1, "0.05", 1), (1, "0.4", 0), (-1, "0", 0)]
)
def test_the_exit_code_says_whether_a_model_passes(
    folders: tuple[str, str], order: int, allow: str, code: int
) -> None:
    found = CliRunner().invoke(gate, [*folders[::order], "--allow", allow, "--json"])
    assert found.exit_code == code and json.loads(found.stdout)["passes"] == (code == 0)


def test_a_gate_prints_what_it_looked_at(folders: tuple[str, str]) -> None:
    found = CliRunner().invoke(gate, [*folders, "--slices"])
    assert found.exit_code == 1 and "98.33 % INTERVAL" in found.stdout
    assert [line.split()[-1] for line in found.stdout.splitlines()[1:]] == [
        "worse",
        "passes",
        "worse",
    ]


@pytest.mark.parametrize("more", [["--allow", "-0.1"], ["--scorer", "none"], []])
def test_what_cannot_be_judged_is_no_loss(
    folders: tuple[str, str], tmp_path: Path, more: list[str]
) -> None:
    first = folders[0] if more else str(tmp_path / "nowhere")
    found = CliRunner().invoke(gate, [first, folders[1], *more])
    assert found.exit_code == 2 and "Error" in found.stderr and not found.stdout
