"""What a chat template makes of conversations is told by every command that sees it first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmmodal.errors import TemplateWarning
from mmmodal.making.loading import load_processor
from mmmodal.samples.dataset import open_files, prepare_record
from mmmodal.train.preflight.findings import Machine
from mmmodal.train.preflight.preflight import check_recipe
from mmmodal.train.recipe import load_recipe
from mmmodal.train.recipe.data_source import DataSource
from mmmodal.train.stage.inputs import open_inputs
from worlds import compose, write_lines

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def family() -> str:
    return "qwen2"


MOVING = (
    "{%- set sys = messages[0].content if messages[0].role == 'system' else '' %}"
    "{%- for m in messages if m.role != 'system' %}"
    "{{- '<|im_start|>' + m.role + '\n' + (sys if loop.last and m.role == 'user' else '') }}"
    "{{- m.content + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{{- '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
)
"""A template that writes the system text into the last question, if no answer follows it."""


@pytest.fixture(scope="module")
def moving(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with that template, which composing has told."""
    out = tmp_path_factory.mktemp("moving") / "model"
    with pytest.warns(TemplateWarning) as told:
        compose(parts["qwen2"], parts, out, kinds=["image"], chat_template=MOVING)
    first, second = (str(each.message) for each in told)
    assert "with a system text otherwise than their prompts: inference has" in first
    assert "SYSTEM TEXTQUESTION 1" in first and "a finished conversation" in first
    assert "with a system text and several answers" in second and "answers=all" in second
    return out


def row(*said: str, system: str | None = "BE-BRIEF") -> dict[str, Any]:
    roles = ("user", "assistant") * len(said)
    turns = [("system", system), *zip(roles, said, strict=False)]
    return {
        "id": said[0],
        "messages": [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in turns
            if text is not None
        ],
        "media": [],
    }


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    several = ("b", "one.", "c", "<think>hm</think>two.")
    lines = [row("a", "one."), row(*several), row(*several, system=None) | {"id": "d"}]
    return write_lines(tmp_path / "a.jsonl", lines)


def test_data_check_tells_what_is_not_learned(rows: Path, moving: Path, data: Run) -> None:
    code, out, err = data("check", rows, "--model", moving)
    assert (code, out) == (0, "3 records, no errors\n")
    assert "Warning: the chat template of" in err
    assert f"Warning: 1 record not learned whole, such as {rows}:2: answer 1 is not learned" in err


def test_data_check_refuses_it_if_it_is_strict(rows: Path, moving: Path, data: Run) -> None:
    code, out, _ = data("check", rows, "--model", moving, "--strict")
    assert code == 1
    refused, counted = out.splitlines()
    assert refused.startswith(f"{rows}:2: answer 1 is not learned")
    assert "BE-BRIEFb" in refused and counted == "3 records, 1 error"


def test_data_check_is_strict_about_a_model_alone(rows: Path, data: Run) -> None:
    code, _, err = data("check", rows, "--strict")
    assert code == 2 and "--strict needs --model" in err


def test_a_good_template_passes_the_strict_check(rows: Path, start: Path, data: Run) -> None:
    assert data("check", rows, "--model", start, "--strict")[:2] == (0, "3 records, no errors\n")


def test_data_check_refuses_what_the_template_refuses(
    tmp_path: Path, composed: Callable[[str], Path], data: Run
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row("a", "one.")])
    code, out, _ = data("check", path, "--model", composed("mistral"))
    assert code == 1 and "refuses the role 'system' of message 1" in out


def test_preview_keeps_or_drops_thoughts(rows: Path, start: Path, data: Run) -> None:
    shown = {
        thoughts: data("preview", rows, "--model", start, "--row", 3, "--thoughts", thoughts)[1]
        for thoughts in ("keep", "drop")
    }
    assert "<think>hm</think>two." in shown["keep"]
    assert "hm" not in shown["drop"] and "two." in shown["drop"]


def test_training_and_its_check_tell_it(rows: Path, moving: Path, tmp_path: Path) -> None:
    given = [f"model={moving}", f"data={rows}", f"out={tmp_path / 'out'}"]
    recipe = load_recipe("align", [*given, "batch_size=1", "max_tokens=256", "thoughts=drop"])
    checked = check_recipe(recipe, Machine(has_gpu=False, memory=None))
    assert not checked.problems
    assert ["inference has" in note for note in checked.notes] == [True, True]
    assert checked.lengths is not None and checked.lengths.shortened == 0
    with pytest.warns(TemplateWarning) as told:
        inputs = open_inputs(recipe, tmp_path / "out/run")
    assert len(told) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = [inputs.dataset[index] for index in range(3)]
    texts = [inputs.dataset.preparer.tokenizer.decode(each.input_ids) for each in samples]
    assert not any("hm" in text for text in texts)


def test_a_row_of_which_answers_are_lost_is_told_once(rows: Path, moving: Path) -> None:
    preparer = load_processor(moving).preparer
    (file,) = open_files([DataSource(path=rows)])
    where, record = file[1]
    with pytest.warns(
        TemplateWarning, match=r"a.jsonl:2: 1 of its answers are not learned.*BE-BRIEFb"
    ):
        prepare_record(preparer, record, where, rows.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare_record(preparer, record, where, rows.parent)
