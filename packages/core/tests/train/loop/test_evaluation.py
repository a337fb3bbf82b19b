"""Held-out records are evaluated between steps, and training does not notice."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mmmodal
from mmmodal.errors import ConfigError, MMModalError, RecordError
from mmmodal.train.loop.best_step import BestStep, Evaluated, best_of
from mmmodal.train.loop.held_out_loss import ROWS_OF_BATCH, together
from mmmodal.train.loop.isolation import isolated
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.run.checkpoints import Checkpoints
from mmmodal.train.stage.stage import Outcome, run_stage
from mmmodal_playground.records import make_records
from worlds import read_lines, record, write_lines

SMALL = ["batch_size=2", "max_steps=5", "log_every=1", "max_tokens=512", "learning_rate=0.01"]
EVALUATED = ["eval_every=2", "eval_rows=5", "eval_max_new_tokens=4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 9)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of other pictures and sounds than those of `data`."""
    return make_records(tmp_path_factory.mktemp("held-out"), 12, seed=7)


def train(stage: str, start: Path, data: Path, out: Path, *more: str) -> Outcome:
    given = [f"model={start}", f"data={data}", f"out={out}", *SMALL, *more]
    return run_stage(load_recipe(stage, given))


def evaluations(out: Path) -> list[dict[str, Any]]:
    """Return the logs of evaluations, without times."""
    rows = [row for row in read_lines(out / "run/metrics.jsonl") if "eval_loss" in row]
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]


def digest(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.safetensors")}


LORA = ["train.lora.dropout=0.3"]
KINDS: dict[str, tuple[str, list[str]]] = {
    "adapters with dropout": ("lora", LORA),
    "packs": ("instruct", ["packing=true", "accumulation=2", "workers=1"]),
    "stored features in packs": ("align", ["packing=true", "feature_cache={folder}/features"]),
    "towers": ("instruct", ["train=[projectors, language_model, towers]"]),
    "half precision": ("instruct", ["precision=bf16", "gradient_checkpointing=true"]),
    "streamed": (
        "lora",
        [*LORA, "packing=true", "data=[{{path: {data}, streaming: true}}, {data}]"],
    ),
}
QUICK = ("adapters with dropout", "stored features in packs")
"""The kinds that are not slow."""


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_weights_are_those_without_evaluation_bit_for_bit(
    start: Path, data: Path, held_out: Path, tmp_path: Path, kind: str
) -> None:
    stage, settings = KINDS[kind]
    given = [text.format(folder=tmp_path, data=data) for text in settings]
    train(stage, start, data, tmp_path / "plain", *given)
    train(stage, start, data, tmp_path / "out", *given, f"eval={held_out}", *EVALUATED)
    assert digest(tmp_path / "out") == digest(tmp_path / "plain")
    assert [row["step"] for row in evaluations(tmp_path / "out")] == [0, 2, 4, 5]
    plain, out = (
        [
            {k: row[k] for k in ("loss", "grad_norm", "learning_rate")}
            for row in losses(tmp_path / n)
        ]
        for n in ("plain", "out")
    )
    assert plain == out


def losses(out: Path) -> list[dict[str, Any]]:
    return [row for row in read_lines(out / "run/metrics.jsonl") if "loss" in row]


def test_the_loss_is_that_of_the_model_that_was_written(
    start: Path, data: Path, held_out: Path, tmp_path: Path
) -> None:
    """It is the mean over all answer tokens, as of one conversation after another."""
    out = tmp_path / "out"
    given = [f"eval={held_out}", "eval_rows=100", "evaluators={}", "packing=true"]
    outcome = train("instruct", start, data, out, *given)
    total, count = 0.0, 0
    for folder in (start, out):
        model = mmmodal.load(folder)
        total, count = 0.0, 0
        for row in read_lines(held_out):
            sample = sample_of(model, row, held_out.parent)
            batch = model.processor.preparer.collate([sample])
            with torch.no_grad():
                loss = model(**batch).loss
            labels = int((batch["labels"][:, 1:] >= 0).sum())
            total, count = total + labels * float(loss), count + labels
        step = 0 if folder == start else 5
        (found,) = [row["eval_loss"] for row in evaluations(out) if row["step"] == step]
        assert found == pytest.approx(total / count, rel=1e-5)
    assert outcome.evaluation == {"eval_loss": found}


def sample_of(model: Any, row: Any, root: Path) -> Any:
    from mmmodal.contracts.record import Record
    from mmmodal.samples.dataset import prepare_record

    return prepare_record(model.processor.preparer, Record.model_validate(row), "row", root)


def test_the_loss_does_not_depend_on_packing_or_batches(
    start: Path, data: Path, held_out: Path, tmp_path: Path
) -> None:
    settings = {
        "padded": [],
        "packed": ["packing=true", "batch_size=1"],
        "one": ["batch_size=1", "workers=1"],
    }
    first = {}
    for name, more in settings.items():
        given = [f"eval={held_out}", "evaluators={}", "max_steps=1", *more]
        train("align", start, data, tmp_path / name, *given)
        first[name] = evaluations(tmp_path / name)[0]["eval_loss"]
    assert len(set(first.values())) == 1


def test_what_was_drawn_is_noted_and_follows_from_the_seed(
    start: Path, data: Path, held_out: Path, tmp_path: Path
) -> None:
    drawn = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        given = [f"eval={held_out}", "eval_rows=4", "max_steps=1", "evaluators={}", f"seed={seed}"]
        train("align", start, data, tmp_path / name, *given)
        note = json.loads((tmp_path / name / "run/recipe.json").read_text())
        drawn[name] = note["evaluated"]
    assert drawn["one"] == drawn["same"] != drawn["other"]
    assert all(len(rows) == 4 and set(rows) <= rows_of(held_out) for rows in drawn.values())


def rows_of(path: Path) -> set[str]:
    return {f"{path}:{number}" for number in range(1, len(read_lines(path)) + 1)}


def test_the_best_step_is_written(
    start: Path, data: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate that is far too high makes every step worse; only the newest checkpoint is kept."""
    given = [f"eval={held_out}", "evaluators={}", "eval_every=1", "eval_rows=5"]
    kept = [*given, "save_every=1", "keep_checkpoints=1", "learning_rate=0.3", "max_steps=4"]
    outcome = train("instruct", start, data, tmp_path / "out", *kept, "keep_best=eval_loss")
    rows = {row["step"]: row["eval_loss"] for row in evaluations(tmp_path / "out")}
    best = min(range(1, 5), key=rows.__getitem__)
    assert best < 4 and outcome.best_step == best
    assert outcome.evaluation == {"eval_loss": rows[best]}
    told = capsys.readouterr().err
    assert f"The best step by eval_loss is {best} of 4" in told
    assert ("Before training it was better" in told) == (rows[0] < rows[best])
    short = train("instruct", start, data, tmp_path / "short", *kept, f"max_steps={best}")
    assert short.best_step is None
    if best == 1:  # the schedule of `instruct` is constant, so its steps are those of the long run
        assert digest(tmp_path / "out") == digest(tmp_path / "short")
    page = (tmp_path / "out/run/report.html").read_text(encoding="utf-8")
    assert f"the weights of step {best}, the best by loss" in page
    assert "Held-out loss" in page


REFUSED: dict[str, tuple[list[str], type[MMModalError], str]] = {
    "an unknown metric": (["keep_best=blue"], ConfigError, "'keep_best': 'blue' is not a figure"),
    "no metric of answers": (
        ["keep_best=exact", "evaluators={}"],
        ConfigError,
        "known are loss",
    ),
    "an unknown evaluator": (["evaluators={anwsers: {}}"], MMModalError, "evaluator 'anwsers'"),
    "a file that is not there": (["eval=nosuch.jsonl"], RecordError, "nosuch.jsonl"),
    "streaming": (["eval={path: a, streaming: true}"], ConfigError, "remove streaming"),
    "a weight": (["eval={path: a, weight: 2}"], ConfigError, "remove weight"),
    "nothing to compare by": (["eval=null", "keep_best=loss"], ConfigError, "keep_best needs eval"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_evaluated_is_refused_before_training(
    start: Path, data: Path, held_out: Path, tmp_path: Path, case: str
) -> None:
    more, error, reason = REFUSED[case]
    with pytest.raises(error, match=reason):
        train("align", start, data, tmp_path / "out", f"eval={held_out}", *more)
    assert not (tmp_path / "out").exists()


BAD_ROWS: dict[str, Any] = {
    "no answer": {**record("b", asked="What?"), "messages": record("b", asked="Q")["messages"][:1]},
    "a medium that is missing": record("b", ("image", "nosuch.png"), asked="What?"),
    "a medium that is damaged": record("b", ("image", "damaged.png"), asked="What?"),
    "no record": {"id": "b"},
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_or_left_out_and_told(
    start: Path, data: Path, held_out: Path, tmp_path: Path, case: str, capsys: Any
) -> None:
    good = record("good", asked="What is it?")
    path = write_lines(tmp_path / "eval.jsonl", [good, BAD_ROWS[case]])
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    given = [f"eval={path}", "max_steps=2", "eval_every=1", "eval_max_new_tokens=2"]
    with pytest.raises(RecordError, match=r"eval\.jsonl:2"):
        train("align", start, data, tmp_path / "refused", *given)
    assert not list((tmp_path / "refused").glob("*.safetensors"))
    outcome = train("align", start, data, tmp_path / "out", *given, "on_bad_sample=skip")
    assert outcome.skipped_rows == 1
    assert capsys.readouterr().err.count(f"Skipped {path}:2: ") == 1
    assert all(math.isfinite(row["eval_loss"]) for row in evaluations(tmp_path / "out"))


class Restless(nn.Module):
    """A module that changes everything that running a module may change."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("replaced", torch.ones(2))
        self.longest = 3
        self.empty: Any = None
        self.inner = nn.Dropout(0.5)

    def forward(self, values: Tensor) -> Tensor:
        self.longest += len(values)
        self.seen += 1
        self.empty = self.cached = values * 2
        self.replaced = torch.full((3,), 7.0)
        return self.inner(values) + random.random() + np.random.rand() + torch.rand(1)


def test_a_module_is_left_as_it_was() -> None:
    module = Restless()
    module.inner.eval()  # as a frozen tower's
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = (torch.rand(2), random.random(), np.random.rand())
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    seen = []
    for _ in range(2):
        with isolated(module, seed=1), torch.inference_mode():
            assert not module.training
            seen.append(module(torch.ones(4)))
    assert torch.equal(*seen)
    assert module.training and not module.inner.training
    assert module.longest == 3
    assert module.empty is None and not hasattr(module, "cached")
    assert torch.equal(module.seen, torch.zeros(2))  # type: ignore[arg-type]
    assert torch.equal(module.replaced, torch.ones(2))  # type: ignore[arg-type]
    found = (torch.rand(2), random.random(), np.random.rand())
    assert torch.equal(found[0], expected[0]) and found[1:] == expected[1:]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5, 3, 9, 3], [[1, 3, 0], [2]]),
        ([100, 1], [[1], [0]]),
        ([1] * 20, [[*range(8)], [*range(8, 16)], [*range(16, 20)]]),
    ],
)
def test_batches_are_of_similar_conversations(
    lengths: list[int], expected: list[list[int]]
) -> None:
    assert ROWS_OF_BATCH == 8
    assert together(dict(enumerate(lengths)), 16) == expected


ROWS: list[dict[str, Any]] = [
    {"step": 0, "eval_loss": 0.1},
    {"step": 2, "loss": 0.0},
    {"step": 2, "eval_loss": 3.0},
    {"step": 4, "eval_loss": None},
    {"step": 6, "eval_loss": 2.0},
    {"step": 8, "eval_loss": 2.0},
    {"step": 9, "eval_loss": 5.0},
]


@pytest.mark.parametrize(
    ("better", "steps", "expected"),
    [
        ("lower", {2, 4, 6, 8, 9}, Evaluated(6, 2.0)),
        ("higher", {2, 4, 6, 8}, Evaluated(2, 3.0)),
        ("higher", {6, 8, 9}, Evaluated(9, 5.0)),
        ("lower", {4}, None),
        ("lower", {5}, None),
    ],
)
def test_the_best_step_is_the_first_of_the_best(
    better: Any, steps: set[int], expected: Evaluated | None
) -> None:
    assert best_of(ROWS, "eval_loss", better, steps) == expected


def test_a_damaged_checkpoint_of_the_best_step_leaves_the_next_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the best step is kept besides the newest; step 6 is the last, without one."""
    values = {0: 0.5, 1: 3.0, 2: 1.0, 3: 2.0, 4: 5.0, 5: 6.0, 6: 4.0}
    rows = [{"step": step, "eval_loss": value} for step, value in values.items()]
    recipe = load_recipe("align", ["model=m", "data=d", "out=o", "eval=e", "keep_best=loss"])
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1, deepspeed=False)
    best = BestStep(recipe, tmp_path, None, checkpoints)
    for step in range(1, 6):
        write_lines(tmp_path / "metrics.jsonl", rows[: step + 1])
        assert best.after_evaluation(step) == (step in (1, 2))
        with checkpoints.writing(step) as folder:
            (folder / "trained.safetensors").write_bytes(b"weights")
    write_lines(tmp_path / "metrics.jsonl", rows)
    assert checkpoints.steps() == {2, 5}
    found, checkpoint = best.settle(6)
    assert found == Evaluated(2, 1.0) and checkpoint is not None and checkpoint.step == 2
    best.tell(found, 6)
    told = capsys.readouterr().err
    assert "The best step by eval_loss is 2 of 6 (1); the result has its weights" in told
    assert "Before training it was better: 0.5" in told
    (checkpoint.folder / "trained.safetensors").write_bytes(b"damaged")
    assert best.settle(6) == (Evaluated(6, 4.0), None)
    assert "The checkpoint of step 2 is damaged" in capsys.readouterr().err


@pytest.fixture
def dynamic(parts: dict[str, Path], tmp_path: Path) -> Callable[[], Any]:
    """Return a language model whose position embeddings note the longest input."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(parts["llama"])
    config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    config.max_position_embeddings = 16
    return lambda: AutoModelForCausalLM.from_config(config)


def test_a_long_input_in_an_evaluation_changes_no_position_embedding(dynamic: Any) -> None:
    model = dynamic()
    short = torch.arange(3, 13)[None]
    before = model(short).logits
    with isolated(model, seed=0), torch.no_grad():
        model(torch.arange(3, 43)[None])
    assert torch.equal(model(short).logits, before)
    before_grown = model(torch.arange(3, 23)[None]).logits
    with isolated(model, seed=0), torch.no_grad():
        model(torch.arange(3, 43)[None])
    assert torch.equal(model(torch.arange(3, 23)[None]).logits, before_grown)
