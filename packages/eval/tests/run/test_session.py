"""`mmmodal_eval.evaluate` does what the command does, and returns what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmmodal_eval
from mmmodal.errors import MMModalError
from mmmodal_eval import evaluate as evaluated
from worlds import read_lines

Run = Callable[..., tuple[int, str, str]]


def test_python_and_the_command_write_the_same_and_share_answers(
    evaluate: Run, data: Path, start: Path
) -> None:
    (found,) = evaluated(start, data, "results", controls=["image left out"], max_new_tokens=3)
    assert (found.asked, found.results.name) == (8 + 4, start.name)
    files = {path.name: path.read_bytes() for path in Path("results", start.name).iterdir()}
    words = ("--out", "results", "--control", "image left out", "--max-new-tokens", 3, "--json")
    code, out, err = evaluate(start, data, *words)
    assert code == 0, err
    assert json.loads(out)[0]["conversations_asked"] == 0
    for name in ("results.json", "cases.jsonl"):
        assert Path("results", start.name, name).read_bytes() == files[name]


def test_the_replies_hold_what_was_said_in_turns_that_are_not_scored(
    evaluate: Run, data: Path, start: Path
) -> None:
    rows = read_lines(data)
    for row in rows:
        row["messages"][1]["expect"] = {"scored": False}
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (found,) = evaluated([str(start)], str(data), controls=False, max_new_tokens=3)
    turns = [len(replies) for _, replies in found.replies]
    assert turns == [*[2] * 6, 3] and len(found.cases) == 8, "the text has one turn, left out"
    said = {(c.record.id, turn): r.text for c, rs in found.replies for turn, r in enumerate(rs)}
    assert all(said[case.record, case.turn] == case.answer for case in found.cases)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"controls": ["media left out"]}, "media left out"),
        ({"scorer": "exakt"}, "Did you mean 'exact'"),
        ({"history": "mine"}, "history"),
        ({"max_new_token": 3}, "max_new_token"),
        ({"loading": {"typ": "auto"}}, "typ"),
    ],
)
def test_a_wrong_setting_is_one_error(
    evaluate: Run, data: Path, start: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(MMModalError, match=message):
        evaluated(start, data, **settings)


def test_every_public_name_is_there_and_documented() -> None:
    for name in mmmodal_eval.__all__:
        assert getattr(mmmodal_eval, name).__doc__
    assert set(mmmodal_eval.__all__) <= set(dir(mmmodal_eval))
