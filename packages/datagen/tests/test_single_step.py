"""What one run made is read by another: steps are run one by one, each on what the last one left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from language_server import Reply, serving
from mmmodal.cli.main import run
from mmmodal_datagen.single_step import step_alone
from worlds import write_lines

Step = Callable[..., tuple[int, str]]

CAPTIONS = ("Two dogs run along the beach", "A market at night in the rain", "A red boat on a lake")


@pytest.fixture
def step(capsys: pytest.CaptureFixture[str]) -> Step:
    """Run one step; return its exit code and what it said."""

    def call(*arguments: object) -> tuple[int, str]:
        code = run(["datagen", *map(str, arguments)])
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    rows = [{"image": f"{index}.png", "caption": text} for index, text in enumerate(CAPTIONS)]
    write_lines(tmp_path / "captions.jsonl", rows)
    return tmp_path / "captions.jsonl"


def rows_of(folder: Path) -> int:
    return int(json.loads((folder / "summary.json").read_text())[-1]["rows"])


def test_steps_are_run_one_by_one_each_on_what_the_last_one_left(
    step: Step, captions: Path, tmp_path: Path
) -> None:
    code, said = step("import", captions, "-o", tmp_path / "described")
    assert code == 0 and f"Input for other steps: {tmp_path / 'described'}" in said
    ask = 'templates=[{exchanges: [{ask: [{en: "What is in image 1?"}], answer: [{en: "{description}"}]}]}]'
    assert step("visual-qa", tmp_path / "described", "-o", tmp_path / "asked", "--set", ask)[0] == 0
    assert step("gate", tmp_path / "asked", "-o", tmp_path / "fit")[0] == 0
    assert rows_of(tmp_path / "fit") == len(CAPTIONS)
    named = tmp_path / "asked/steps/files"  # what the second one imported
    assert step("gate", named, "-o", tmp_path / "again")[0] == 0


def test_media_are_found_from_where_the_first_step_found_them(
    step: Step, captions: Path, tmp_path: Path
) -> None:
    assert step("import", captions, "-o", tmp_path / "made/a")[0] == 0  # its root is above `made`
    assert step("import", tmp_path / "made/a", "-o", tmp_path / "made/b")[0] == 0
    shown = step_alone("gate", [tmp_path / "made/b"], tmp_path / "made/c")
    assert shown.root == tmp_path
    elsewhere = ("--root", tmp_path / "made")
    code, said = step("gate", tmp_path / "made/a", "-o", tmp_path / "made/d", *elsewhere)
    assert code == 1 and f"are relative to {tmp_path}; set `root` to it" in said


def test_a_folder_of_media_may_be_named_as_those_of_a_run(step: Step, tmp_path: Path) -> None:
    (tmp_path / "steps/talks").mkdir(parents=True)
    (tmp_path / "steps/talks/a.png").write_bytes(b"")
    for folder, out in (("steps/talks", "made/a"), ("steps", "made/b")):
        assert step("import", tmp_path / folder, "-o", tmp_path / out)[0] == 0
        assert rows_of(tmp_path / out) == 1


def test_a_run_that_was_cut_off_is_not_taken_for_its_first_step(
    step: Step, captions: Path, tmp_path: Path
) -> None:
    assert step("import", captions, "-o", tmp_path / "a")[0] == 0
    with serving(lambda request, number: Reply(status=401)) as server:
        backend = f"language_model:openai,model=m,base_url={server.url}"
        asked = ("questions", tmp_path / "a", "-o", tmp_path / "b", "--backend", backend)
        code, said = step(*asked)
    assert code == 1 and "the key is refused" in said  # after `files`, before its own step
    code, said = step("gate", tmp_path / "b", "-o", tmp_path / "c")
    assert code == 1 and "'step' of" in said and "steps that have: files" in said


def test_a_run_with_other_settings_leaves_its_own_rows(
    step: Step, captions: Path, tmp_path: Path
) -> None:
    for licence in ("CC0-1.0", "CC-BY-4.0"):
        assert step("import", captions, "-o", tmp_path / "a", "--set", f"licence={licence}")[0] == 0
    assert len(list((tmp_path / "a/steps/step").iterdir())) == 2
    assert step("import", tmp_path / "a", "-o", tmp_path / "b")[0] == 0
    assert rows_of(tmp_path / "b") == len(CAPTIONS)


def test_a_run_that_was_cut_off_or_made_nothing_is_told(
    step: Step, captions: Path, tmp_path: Path
) -> None:
    step("import", captions, "-o", tmp_path / "a")
    code, said = step("gate", tmp_path / "a/steps/other", "-o", tmp_path / "b")
    assert code == 1 and "'other' of" in said and "steps that have: step" in said
    (tmp_path / "a/summary.json").unlink()
    code, said = step("gate", tmp_path / "a", "-o", tmp_path / "b")
    assert code == 1 and "was not finished; run it again first" in said
