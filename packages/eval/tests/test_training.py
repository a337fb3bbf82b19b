"""Answers are scored while a model trains, as they are of the model that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mmmodal
from fake_packages import run_python
from mmmodal.authoring.parts import ConfigError, HeldOut, MMModalError
from mmmodal.authoring.records import Record, read_records
from mmmodal.authoring.training import answer_records, load_recipe, run_stage
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.testing import EvaluatorTests
from mmmodal_eval.training import Answers, AnswersOptions
from mmmodal_playground.records import make_records
from worlds import read_lines, record, write_lines

TOKENS = 6
STILL = ["learning_rate=1e-12", "weight_decay=0", "max_steps=2", "eval_every=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 6)


@pytest.fixture(scope="module")
def held_out(start: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Records of which every second answer is what the model says, and their share."""
    path = make_records(tmp_path_factory.mktemp("held-out"), 9, seed=7)
    rows = read_lines(path)
    records = [found for _, found in read_records(path)]
    said = answer_records(mmmodal.load(start), records, path.parent, max_new_tokens=TOKENS)
    right = [number % 2 == 0 for number in range(sum(map(len, said)))]
    marks, answers = iter(right), iter(text for turns in said for text in turns)
    for row in rows:
        for message in row["messages"]:
            if message["role"] == "assistant":
                answer = next(answers)
                message["expect"] = {"references": [answer if next(marks) else "nothing like it"]}
    return write_lines(path, rows), sum(right) / len(right)


def train(stage: str, start: Path, data: Path, out: Path, *more: str) -> list[dict[str, Any]]:
    """Train, and return the logs of evaluations."""
    small = ["batch_size=2", "max_tokens=512", f"eval_max_new_tokens={TOKENS}"]
    given = [f"model={start}", f"data={data}", f"out={out}", *small, *more]
    run_stage(load_recipe(stage, given))
    return [row for row in read_lines(out / "run/metrics.jsonl") if "eval_loss" in row]


class TestAnswers(EvaluatorTests):
    @pytest.fixture
    def evaluator(self) -> Answers:
        return Answers(AnswersOptions(scorer="exact", batch_size=2))

    @pytest.fixture
    def held_out(self, held_out: tuple[Path, float]) -> list[HeldOut]:
        path, _ = held_out
        return [HeldOut(found, path.parent, where) for where, found in read_records(path)]

    @pytest.fixture
    def model(self, start: Path) -> MMModalForConditionalGeneration:
        return mmmodal.load(start)


KINDS: dict[str, tuple[str, list[str]]] = {
    "padded": ("instruct", ["gradient_checkpointing=true"]),
    "adapters in packs": ("lora", ["packing=true", "train.lora.dropout=0.5"]),
    "stored features": (
        "align",
        ["feature_cache={folder}", "feature_cache_dtype=fp32", "packing=true"],
    ),
    "streamed": ("align", ["data={{path: {data}, streaming: true}}"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_in_training_are_those_of_the_model(
    start: Path, data: Path, held_out: tuple[Path, float], tmp_path: Path, kind: str
) -> None:
    stage, more = KINDS[kind]
    given = [text.format(folder=tmp_path / "features", data=data) for text in more]
    path, share = held_out
    rows = train(stage, start, data, tmp_path / "out", f"eval={path}", *STILL, *given)
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert [row["eval_exact"] for row in rows] == [share] * 3
    assert all("eval_failed" not in row for row in rows)


def test_the_scorer_and_the_history_are_options(held_out: tuple[Path, float], start: Path) -> None:
    path, share = held_out
    rows = [HeldOut(found, path.parent, where) for where, found in read_records(path)]
    model = mmmodal.load(start)
    for history in ("own", "gold"):
        evaluator = Answers(AnswersOptions(history=history, batch_size=3))  # type: ignore[arg-type]
        assert evaluator.begin(rows) == {"exact": "higher"}
        done: list[int] = []
        counts = evaluator.tally(model, max_new_tokens=TOKENS, progress=done.append)
        assert sum(done) == len(rows)
        figure = evaluator.figure("exact", counts["exact"])
        assert figure == share if history == "own" else figure < share


def test_answers_that_fail_are_counted(start: Path, tmp_path: Path) -> None:
    rows = [record("a", ("image", "nosuch.png"), asked="What?"), record("b", asked="Why?")]
    held_out = [HeldOut(Record.model_validate(row), tmp_path, row["id"]) for row in rows]
    evaluator = Answers()
    evaluator.begin(held_out)
    counts = evaluator.tally(mmmodal.load(start), max_new_tokens=2, progress=lambda n: None)
    assert counts["failed"] == [1.0] and counts["exact"][1] == 1.0
    assert evaluator.figure("failed", counts["failed"]) == 1


REFUSED: dict[str, tuple[list[str], str]] = {
    "an unknown scorer": (["evaluators.answers.scorer=exakt"], "unknown scorer 'exakt'"),
    "an unknown option": (["evaluators.answers.scorre=exact"], "unknown key 'scorre'"),
    "an unknown metric": (["keep_best=exat"], "'exat' is not a figure.*known are loss, exact"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_refused_before_training(
    start: Path, data: Path, held_out: tuple[Path, float], tmp_path: Path, case: str
) -> None:
    more, reason = REFUSED[case]
    with pytest.raises(MMModalError, match=reason):
        train("align", start, data, tmp_path / "out", f"eval={held_out[0]}", *STILL, *more)
    assert not (tmp_path / "out").exists()


def test_a_record_whose_answer_is_empty_is_named(start: Path, data: Path, tmp_path: Path) -> None:
    empty = record("b", asked="Q")
    empty["messages"][1]["expect"] = {"references": [" "]}
    path = write_lines(tmp_path / "rows.jsonl", [record("a", asked="Q"), empty])
    with pytest.raises(ConfigError, match=r"rows\.jsonl:2, turn 1: its right answer is empty"):
        train("align", start, data, tmp_path / "out", f"eval={path}", *STILL)


def test_the_step_with_the_best_answers_is_written(
    start: Path, data: Path, held_out: tuple[Path, float], tmp_path: Path
) -> None:
    """What the model says at first is right in half of the cases, and wrong after large steps."""
    out = tmp_path / "out"
    settings = ["learning_rate=0.05", "max_steps=3", "eval_every=1", "keep_best=exact"]
    outcome = run_stage(
        load_recipe(
            "instruct",
            [f"model={start}", f"data={data}", f"out={out}", "batch_size=2", "max_tokens=512",
             f"eval={held_out[0]}", f"eval_max_new_tokens={TOKENS}", *settings],
        )
    )  # fmt: skip
    rows = {
        row["step"]: row["eval_exact"]
        for row in read_lines(out / "run/metrics.jsonl")
        if "eval_loss" in row
    }
    assert rows[0] == held_out[1] > rows[1]
    assert outcome.best_step == max((1, 2, 3), key=rows.__getitem__)
    assert outcome.evaluation["eval_exact"] == rows[outcome.best_step]
    assert "Held-out exact" in (out / "run/report.html").read_text(encoding="utf-8")


WITHOUT = """
import importlib.metadata as metadata, json, sys
found = metadata.entry_points
ours = lambda entry: entry.dist.name == "mmmodal-eval"
metadata.entry_points = lambda **of: (
    [e for e in found(**of) if not ours(e)] if of.get("group") == "mmmodal" else found(**of)
)
from mmmodal.cli.main import run
print(*[run(json.loads(arguments)) for arguments in sys.argv[1:]])
"""


def test_without_this_package_only_the_loss_is_evaluated_and_told_once(
    start: Path, data: Path, held_out: tuple[Path, float], tmp_path: Path
) -> None:
    given = [
        f"model={start}", f"data={data}", f"out={tmp_path / 'out'}", "batch_size=2",
        "max_tokens=512", f"eval={held_out[0]}", *STILL,
    ]  # fmt: skip
    refused = [*given, "keep_best=exact", f"out={tmp_path / 'refused'}"]
    lines = [json.dumps(["train", "align", *each]) for each in (given, refused)]
    done = run_python("-c", WITHOUT, *lines)
    assert done.stdout.split()[-2:] == ["0", "1"], done.stderr
    reason = (
        "answers are not scored: evaluator 'answers' comes from mmmodal-eval, which is not "
        "installed. Run: pip install mmmodal-eval"
    )
    assert done.stderr.count(f"Note: {reason}") == len(lines)
    assert f"known are loss ({reason})" in done.stderr
    rows = [row for row in read_lines(tmp_path / "out/run/metrics.jsonl") if "eval_loss" in row]
    assert len(rows) == 3 and all("eval_exact" not in row for row in rows)
