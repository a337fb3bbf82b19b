"""`mmmodal train --check` looks at the records that a recipe evaluates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmmodal.cli.check import print_check
from mmmodal.train.preflight.findings import Checked
from mmmodal.train.preflight.preflight import check_recipe
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal_playground.records import make_records
from worlds import record, write_lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 6)


@pytest.fixture
def check(start: Path, data: Path, tmp_path: Path) -> Callable[..., Checked]:
    def check(*more: str) -> Checked:
        given = [f"model={start}", f"data={data}", f"out={tmp_path / 'out'}", "max_tokens=512"]
        return check_recipe(load_recipe("align", [*given, "max_steps=7", *more]))

    return check


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("held-out"), 9, seed=7)


def test_it_tells_what_evaluations_take(check: Any, held_out: Path, capsys: Any) -> None:
    checked = check(f"eval={held_out}", "eval_every=3", "eval_rows=4", "evaluators={}")
    assert not checked.problems
    found = checked.held_out
    assert (found.records, found.evaluated, found.answers) == (9, 4, 0)
    assert found.metrics == ("loss",) and found.tokens > 4 * 10
    print_check(checked, as_json=False)
    told = f"Evaluations: 4, each of 4 conversations out of 9, with {found.tokens:,} tokens (loss)"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("steps", "every", "expected"), [(7, 3, 4), (6, 3, 3), (2, 500, 2), (1, 1, 2)]
)
def test_evaluations_are_counted_with_the_first_and_the_last(
    check: Any, held_out: Path, steps: int, every: int, expected: int
) -> None:
    found = check(f"eval={held_out}", f"eval_every={every}", "evaluators={}", "eval_rows=1")
    assert found.held_out.evaluations(steps) == expected


def test_bad_rows_are_listed(check: Any, tmp_path: Path) -> None:
    rows = [record("a", ("image", "nosuch.png"), asked="What?"), record("b", asked="Why?"), {}]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    refused = check(f"eval={path}").problems
    assert len(refused) == 2
    assert all(any(f"{path}:{row}" in text for text in refused) for row in (1, 3))
    skipped = check(f"eval={path}", "on_bad_sample=skip")
    assert not skipped.problems and skipped.held_out.evaluated == 1


def test_an_unknown_metric_is_a_problem(check: Any, held_out: Path) -> None:
    (problem,) = check(f"eval={held_out}", "keep_best=blue", "evaluators={}").problems
    assert "'blue' is not a figure of these evaluations; known are loss" in problem


def test_stored_features_of_held_out_media_are_counted(
    check: Any, held_out: Path, tmp_path: Path
) -> None:
    cache = f"feature_cache={tmp_path / 'features'}"
    alone, both = check(cache), check(cache, f"eval={held_out}", "evaluators={}")
    assert both.stored_media > alone.stored_media
    assert both.stored_bytes > alone.stored_bytes
