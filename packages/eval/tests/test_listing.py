"""`mmmodal evaluate scorers` tells what `expect` may name."""

from __future__ import annotations

import json

from click.testing import CliRunner

from mmmodal_eval.listing import scorers


def test_all_scorers_are_listed_with_what_they_are() -> None:
    done = CliRunner().invoke(scorers, ["--json"])
    found = {each["name"]: each for each in json.loads(done.stdout)}

    assert done.exit_code == 0
    assert found["wer"]["better"] == "lower" and found["wer"]["unit"] == "rate"
    assert found["number"]["options"] == {"absolute": 0.0, "relative": 0.0, "take": "last"}
    assert found["choice-likelihood"]["ranks_choices"]
    assert found["judge"]["options"]["model"] is None
    assert all(each["about"].endswith(".") for each in found.values())


def test_the_table_names_each_scorer_once() -> None:
    lines = CliRunner().invoke(scorers).stdout.splitlines()

    assert lines[0].split()[:3] == ["SCORER", "UNIT", "BETTER"]
    assert [line.split()[0] for line in lines[1:]].count("exact") == 1
