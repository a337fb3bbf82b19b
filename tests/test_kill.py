"""A training that is killed at any moment goes on to the same rows, losses and weights, bitwise."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from killing import Fate, Training, copy_of, kill_at_random
from mmmodal.pretrained import read_pickled
from mmmodal.train.run.manifest import MANIFEST, read_facts, seal
from mmmodal_playground.records import make_records

STEPS = 10
KILLS = int(os.environ.get("MMMODAL_KILLS", "10"))
"""How many kills the slow tests make; `make torture N=` sets it."""


@pytest.fixture(scope="module")
def world(start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data = make_records(tmp_path_factory.mktemp("data"), 13)
    make_records(data.parent / "held-out", 6, seed=7)
    return {
        "model": start,
        "data": data,
        "batch_size": 1,
        "accumulation": 2,
        "max_steps": STEPS,
        "max_tokens": 512,
        # Logs and checkpoints fall on different steps, and epochs end between them.
        "log_every": 3,
        "save_every": 2,
        "note_rows": True,
        "weight_decay": 0.1,
        "learning_rate": 0.01,
        "precision": "fp32",
    }


def adapters(world: Mapping[str, Any], out: Path) -> Training:
    """Return a training whose dropout draws from the random state in every step."""
    more = {"train.lora.rank": 2, "train.lora.dropout": 0.2, "warmup_ratio": 0.3}
    return Training("lora", {**world, **more}, out)


def whole(world: Mapping[str, Any], out: Path) -> Training:
    """Return a training of the language model on two ranks under ZeRO-2 with offload."""
    settings = {**world, "deepspeed": "zero2-offload", "accumulation": 1}
    return Training("instruct", settings, out, ranks=2)


def adapters_on_two(world: Mapping[str, Any], out: Path) -> Training:
    """Return the training of adapters, on two ranks."""
    return dataclasses.replace(adapters(world, out), ranks=2)


def streamed(world: Mapping[str, Any], out: Path) -> Training:
    """Return the training of adapters on packs of a streamed file and an indexed one."""
    data = [
        {"path": str(world["data"]), "streaming": True, "weight": 3},
        {"path": str(world["data"])},
    ]
    more = {"data": json.dumps(data), "packing": True, "shuffle_window": 8, "workers": 1}
    return adapters({**world, **more}, out)


def evaluated(world: Mapping[str, Any], out: Path) -> Training:
    """Return the training of adapters with evaluations, of which the best step is written.

    Only some evaluations fall on steps with a checkpoint.
    """
    more = {
        "eval": world["data"].parent / "held-out/records.jsonl",
        "eval_every": 3,
        "eval_rows": 4,
        "eval_max_new_tokens": 3,
        "keep_best": "loss",
        "keep_checkpoints": 1,
    }
    return adapters({**world, **more}, out)


KINDS = {
    "alone": adapters,
    "two ranks of ZeRO-2 offload": whole,
    "streamed": streamed,
    "evaluated": evaluated,
}


@pytest.fixture(scope="module")
def straight(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the story of each kind of training when nothing kills it, told once."""
    root, told = tmp_path_factory.mktemp("straight"), {}

    def story(kind: str) -> dict[str, Any]:
        if kind not in told:
            training = {**KINDS, "two ranks": adapters_on_two}[kind](world, root / str(len(told)))
            training.finish()
            told[kind] = training.story()
        return dict(told[kind])

    return story


@pytest.mark.timeout(600 + 60 * KILLS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "kills", [3, pytest.param(KILLS, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_killed_at_random_moments_it_ends_the_same(
    world: dict[str, Any], straight: Any, tmp_path: Path, kind: str, kills: int
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # shown if it fails
    chance, done, runs = random.Random(seed), 0, 0
    while done < kills:
        training = KINDS[kind](world, tmp_path / str(runs))
        done += kill_at_random(training, min(kills - done, 5), chance, STEPS)
        assert training.story() == straight(kind)
        assert leftovers(training) == set()
        runs += 1
    print(f"{done} kills in {runs} runs")


def leftovers(training: Training) -> set[str]:
    """Return what is in the result besides a model and the run's own notes."""
    names = {path.name for path in training.out.iterdir()}
    odd = {name for name in names if name.startswith(".")}
    return odd | {
        path.name
        for path in training.run.iterdir()
        if path.suffix not in (".json", ".jsonl", ".html")
    }


MOMENTS = {
    "while the run's note is written": Fate("open", ".recipe.json.writing-"),
    "before the first checkpoint is begun": Fate("os.mkdir", ".writing"),
    "while its files are synced": Fate("open", ".writing/checkpoint-4/optimizer.pt"),
    "while its manifest is written": Fate("open", ".writing/checkpoint-4/manifest.json"),
    "before it is renamed": Fate("os.rename", "checkpoint-4"),
    "before its folder is synced": Fate("os.rmdir", ".writing"),
    "before an old one is removed": Fate("os.rename", ".removing"),
    "while an old one is removed": Fate("os.remove", "optimizer.pt"),
    "while the result is written": Fate("open", "/.writing-", 2),
    "while the result is moved": Fate("os.rename", "adapter_model.safetensors"),
    "after the result is moved": Fate("shutil.rmtree", ".writing-"),
    "before the checkpoints go": Fate("shutil.rmtree", "run/trained"),
    "while its report is written": Fate("open", "report.html.writing-"),
}

QUICK = ("before it is renamed", "while the result is moved")
"""The moments that are not slow."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(fate, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, fate in MOMENTS.items()
    ],
)
def test_killed_in_the_middle_of_writing_it_ends_the_same(
    world: dict[str, Any], straight: Any, tmp_path: Path, moment: Fate
) -> None:
    training = adapters(world, tmp_path / "out")
    running = training.start(moment)
    assert running.wait() == -9, running.text()
    if training.is_finished():
        again = training.start()
        assert again.wait() == 1
        assert "holds a finished model" in again.text()
    else:
        training.finish()
    assert leftovers(training) == set()
    assert training.story() == straight("alone")


EVALUATIONS = {
    "in the first": Fate("open", "held-out/media", 3),
    "in one of a step without a checkpoint": Fate("open", "held-out/media", 18),
    "before the checkpoint of the best step": Fate("os.mkdir", ".writing", 4),
}
"""Moments about evaluations; each medium is opened at least once in each."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", EVALUATIONS)
def test_killed_in_an_evaluation_no_step_is_evaluated_twice_or_left_out(
    world: dict[str, Any], straight: Any, tmp_path: Path, moment: str
) -> None:
    training = evaluated(world, tmp_path / "out")
    running = training.start(EVALUATIONS[moment])
    assert running.wait() == -9, running.text()
    done = [row["step"] for row in training.story()["evaluations"]]
    assert len(done) < 5
    training.finish()
    assert training.story() == straight("evaluated")
    steps = [row["step"] for row in training.story()["evaluations"]]
    assert steps == [0, 3, 6, 9, 10]
    assert leftovers(training) == set()


def test_after_a_signal_the_evaluation_of_its_step_comes_with_the_resumption(
    world: dict[str, Any], straight: Any, tmp_path: Path
) -> None:
    """The signal comes while the rows of step 3 are noted, which is evaluated."""
    training = evaluated(world, tmp_path / "out")
    running = training.start(Fate("open", "rows-0.jsonl", 3, signal.SIGTERM))
    assert running.wait() == 0, running.text()
    assert "Stopped by SIGTERM after step 3, with a checkpoint" in running.text()
    assert [row["step"] for row in training.story()["evaluations"]] == [0]
    training.finish()
    assert training.story() == straight("evaluated")


def without_weights(path: Path) -> None:
    save_file({name: torch.zeros_like(value) for name, value in load_file(path).items()}, path)


def replace(path: Path, **values: Any) -> None:
    state = {**read_pickled(path), **values}
    path.unlink()  # whose tensors are mapped to memory
    torch.save(state, path)


def rewrite(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


STATE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights": ("trained.safetensors", without_weights),
    "optimizer": ("optimizer.pt", Path.unlink),
    "schedule": ("scheduler.pt", lambda path: replace(path, last_epoch=0, _step_count=1)),
    "random numbers": ("rng_state.pth", Path.unlink),
    "position": ("trainer_state.json", lambda path: rewrite(path, global_step=0)),
    "sums since the last log": ("sums-0.json", lambda path: rewrite(path, loss=0.0, logged=4)),
}
"""What a checkpoint holds: the file of each part of the state, and how the part is left out."""

STATE_OF_THE_SECOND: dict[str, tuple[str, Callable[[Path], object]]] = {
    "random numbers": ("rng_state_1.pth", Path.unlink),
    "sums since the last log": ("sums-1.json", lambda path: rewrite(path, loss=0.0)),
}
"""The same of the second of two ranks."""


@pytest.fixture(scope="module")
def interrupted(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return a training that was killed with a whole checkpoint of step 4."""
    return killed_at_six(adapters(world, tmp_path_factory.mktemp("interrupted") / "out"))


@pytest.fixture(scope="module")
def interrupted_on_two(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return the same on two ranks."""
    return killed_at_six(adapters_on_two(world, tmp_path_factory.mktemp("interrupted") / "out"))


def killed_at_six(training: Training) -> Training:
    running = training.start(Fate("os.rename", "checkpoint-6"))
    assert running.wait() == -9, running.text()
    return training


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", [*STATE, "nothing"])
def test_what_is_left_out_of_a_checkpoint_is_noticed(
    straight: Any, interrupted: Training, tmp_path: Path, part: str
) -> None:
    """The test of the tests above: without any part of the state they fail."""
    story = goes_on_without(STATE.get(part), interrupted, tmp_path / "out")
    assert (story == straight("alone")) == (part == "nothing")


def test_every_file_of_a_checkpoint_is_left_out_once(interrupted: Training) -> None:
    """Should a checkpoint hold more one day, the test above has to leave that out, too."""
    names = {path.name for path in checkpoint_of(interrupted).iterdir()}
    assert names == {MANIFEST, *(name for name, _ in STATE.values())}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", [*STATE_OF_THE_SECOND, "nothing"])
def test_what_is_left_out_of_the_second_rank_s_state_is_noticed(
    straight: Any, interrupted_on_two: Training, tmp_path: Path, part: str
) -> None:
    story = goes_on_without(STATE_OF_THE_SECOND.get(part), interrupted_on_two, tmp_path / "out")
    assert (story == straight("two ranks")) == (part == "nothing")


def goes_on_without(
    part: tuple[str, Callable[[Path], object]] | None, interrupted: Training, out: Path
) -> dict[str, Any]:
    """Go on from a copy of a checkpoint that lacks a part of the state; tell the story."""
    training = copy_of(interrupted, out)
    folder = checkpoint_of(training)
    facts = read_facts(folder)
    if part is not None:
        name, leave_out = part
        leave_out(folder / name)
    (folder / MANIFEST).unlink()
    seal(folder, facts)
    shutil.rmtree(folder.parent / ".writing", ignore_errors=True)
    training.finish()
    return training.story()


def checkpoint_of(training: Training) -> Path:
    return training.run / "checkpoints/checkpoint-4"
