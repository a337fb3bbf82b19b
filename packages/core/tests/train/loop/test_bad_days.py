"""Full disks, killed workers, signals, bad rows and losses: one clear message, and it goes on."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from killing import Fate, Training
from mmmodal.errors import CheckpointError, RecordError, TrainingError
from mmmodal.pretrained import read_pickled
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from poison import poisoned, text_row
from small_disk import can_mount, train_twice, train_with_small_files
from worlds import read_lines, record, write_lines

SMALL = {"batch_size": 1, "max_steps": 6, "log_every": 1, "max_tokens": 512, "save_every": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture
def training(start: Path, data: Path, tmp_path: Path) -> Training:
    return training_in(tmp_path / "out", start, data)


def training_in(out: Path, start: Path, data: Path) -> Training:
    return Training("align", {"model": start, "data": data, "note_rows": True, **SMALL}, out)


@pytest.fixture(scope="module")
def straight(start: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the story of the training on a good day."""
    training = training_in(tmp_path_factory.mktemp("straight") / "out", start, data)
    training.finish()
    return training.story()


def recipe(training: Training, **more: Any) -> Any:
    settings = {**training.settings, "out": training.out, **more}
    return load_recipe("align", [f"{key}={value}" for key, value in settings.items()])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def interrupted(training: Training) -> None:
    """Let it be killed with whole checkpoints of steps 2 and 4."""
    running = training.start(Fate("os.rename", "checkpoint-6"))
    assert running.wait() == -signal.SIGKILL, running.text()


@pytest.fixture
def with_bad_rows(data: Path) -> Path:
    """Four good rows, a missing picture, one that is none, half a line, and no answer at all."""
    good = read_lines(data)[:4]
    (data.parent / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    mute = {**record("mute", ("image", "x.png")), "media": []}
    mute["messages"] = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    rows = [
        good[0],
        record("gone", ("image", "gone.png")),
        good[1],
        record("broken", ("image", "broken.png")),
        *good[2:],
    ]
    path = write_lines(data.parent / "bad.jsonl", [*rows, mute])
    with path.open("a") as file:
        file.write('{"id": "half", "messages": [\n')
    return path


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_row_is_refused_by_name_also_in_a_worker(
    training: Training, data: Path, workers: int
) -> None:
    path = write_lines(
        data.parent / f"one-{workers}.jsonl", [record("gone", ("image", "gone.png"))]
    )
    with pytest.raises(RecordError, match=rf"one-{workers}\.jsonl:1: .*gone\.png"):
        run_stage(recipe(training, data=path, workers=workers))


@pytest.mark.parametrize("how", ["as they are", "packed", "with stored features"])
def test_bad_rows_are_skipped_counted_and_never_replaced(
    training: Training, with_bad_rows: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """Packed, those that are found on measuring are left out, and others are missing in a pack."""
    settings = {"data": with_bad_rows, "on_bad_sample": "skip", "batch_size": 2, "workers": 1}
    if how == "packed":
        settings["packing"] = True
    elif how == "with stored features":
        settings["feature_cache"] = with_bad_rows.parent / "features"
    outcome = run_stage(recipe(training, **settings, epochs=1, max_steps="null"))
    rows = read_lines(training.run / "rows-0.jsonl")
    epoch = [row for step in rows for row in step["rows"]]
    assert sorted(epoch) == sorted(f"{with_bad_rows}:{line}" for line in (1, 3, 5, 6))
    metrics = read_lines(training.run / "metrics.jsonl")
    told = next(row for row in metrics if "skipped_rows" in row)
    assert told["skipped_rows"] == 4
    assert set(told["skipped"]) == {f"{with_bad_rows}:{line}" for line in (2, 4, 7, 8)}
    assert "gone.png" in told["skipped"][f"{with_bad_rows}:2"]
    said = capsys.readouterr().err
    assert "4 bad rows were skipped:" in said and f"{with_bad_rows}:8" in said
    assert outcome.finished and outcome.skipped_rows == 4


def test_a_step_of_bad_rows_alone_changes_nothing_and_too_many_end_it(
    training: Training, data: Path
) -> None:
    path = write_lines(
        data.parent / "none.jsonl", [record(str(i), ("image", f"gone-{i}.png")) for i in range(4)]
    )
    with pytest.raises(
        TrainingError, match=r"step 2: none of its rows can be used, as in the step b"
    ):
        run_stage(recipe(training, data=path, on_bad_sample="skip", nan_limit=2))


def test_packs_of_bad_rows_alone_are_refused(training: Training, data: Path) -> None:
    path = write_lines(
        data.parent / "none.jsonl", [record(str(i), ("image", f"gone-{i}.png")) for i in range(4)]
    )
    with pytest.raises(RecordError, match=r"none\.jsonl: none of the records can be used"):
        run_stage(recipe(training, data=path, on_bad_sample="skip", packing=True))


def test_a_step_that_is_not_finite_is_named_and_changes_neither_weights_nor_optimizer(
    training: Training, start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_lines(data)[:3]
    path = write_lines(data.parent / "nan.jsonl", [rows[0], text_row("nan"), *rows[1:]])
    settings = {"model": poisoned(start, tmp_path / "poisoned"), "data": path}
    kept = {"save_every": 1, "keep_checkpoints": 9, "max_steps": 9}
    training = training.elsewhere(training.out, settings={**training.settings, **settings, **kept})
    running = training.start(Fate("os.rename", "checkpoint-9"))
    assert running.wait() == -signal.SIGKILL, running.text()
    steps = read_lines(training.run / "rows-0.jsonl")
    bad = [row["step"] for row in steps if row["rows"] == [f"{path}:2"]]
    step = next(step for step in bad if 1 < step < 8)
    told = f"Step {step} is skipped: the loss is not finite (rows {path}:2)"
    assert told in running.text()
    folder = training.run / "checkpoints"
    before, at, after = (folder / f"checkpoint-{number}" for number in (step - 1, step, step + 1))
    assert same(*(load_file(path / "trained.safetensors") for path in (before, at)))
    assert not same(*(load_file(path / "trained.safetensors") for path in (at, after)))
    one, other = (read_pickled(path / "optimizer.pt")["state"] for path in (before, at))
    assert all(same(one[index], other[index]) for index in one)
    metrics = read_lines(training.run / "metrics.jsonl")
    assert [row["rows"] for row in metrics if row["step"] == step] == [[f"{path}:2"]]


def test_too_many_steps_in_a_row_that_are_not_finite_end_the_training(
    training: Training, start: Path, data: Path, tmp_path: Path
) -> None:
    """Those before the run was killed count, too."""
    path = write_lines(data.parent / "nans.jsonl", [text_row(str(index)) for index in range(4)])
    settings = {"model": poisoned(start, tmp_path / "poisoned"), "data": path, "nan_limit": 3}
    more = {**training.settings, **settings, "save_every": 1}
    training = training.elsewhere(training.out, settings=more)
    running = training.start(Fate("os.rename", "checkpoint-2"))
    assert running.wait() == -signal.SIGKILL, running.text()
    with pytest.raises(TrainingError, match=r"step 3: the loss is not finite, as in the 2 steps b"):
        run_stage(recipe(training))


def test_a_damaged_newest_checkpoint_is_told_and_the_run_goes_on(
    training: Training, straight: dict[str, Any]
) -> None:
    interrupted(training)
    newest = training.run / "checkpoints/checkpoint-4/optimizer.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    running = training.start()
    assert running.wait() == 0, running.text()
    assert "The checkpoint of step 4 is damaged (" in running.text()
    assert ") and was renamed to " in running.text()
    assert training.story() == straight


def test_sigterm_ends_with_a_checkpoint_and_exit_0(training: Training) -> None:
    """The whole group is told, workers too, as service managers do."""
    settings = {**training.settings, "workers": 1, "max_steps": 12}
    training = training.elsewhere(training.out, settings=settings)
    running = training.start(Fate("os.rename", "checkpoint-4", number=signal.SIGTERM))
    assert running.wait() == 0, running.text()
    assert "Stopped by SIGTERM after step" in running.text()
    assert "Run the same command again to resume" in running.text()
    assert "Traceback" not in running.text()
    training.finish()
    straight = training.elsewhere(training.out.parent / "straight")
    straight.finish()
    assert training.story() == straight.story()


def test_a_killed_worker_is_one_message_and_the_run_goes_on(training: Training) -> None:
    settings = {**training.settings, "workers": 1, "max_steps": 100, "save_every": 50}
    training = training.elsewhere(training.out, settings=settings)
    running = training.start()
    training.wait_for(running, lambda: training.step() >= 3)
    for worker in psutil.Process(running.processes[0].pid).children():
        worker.send_signal(signal.SIGKILL)
    assert running.wait() == 1, running.text()
    assert "a process that reads media (pid" in running.text()
    assert "to resume from the last checkpoint" in running.text()
    assert "Traceback" not in running.text()
    training.finish()


def test_data_that_changed_since_the_run_was_begun_is_refused(
    training: Training, data: Path
) -> None:
    path = write_lines(data.parent / "grows.jsonl", [text_row("a", "x"), text_row("b", "y")])
    training = training.elsewhere(training.out, settings={**training.settings, "data": path})
    interrupted(training)
    write_lines(path, [text_row("a", "x")])
    with pytest.raises(CheckpointError, match="begun with 2 usable records, but now there are 1"):
        run_stage(recipe(training))
    write_lines(path, [text_row("a", "x"), text_row("b", "z")])
    with pytest.raises(CheckpointError, match=r"grows\.jsonl has changed since .* was begun"):
        run_stage(recipe(training))
    write_lines(path, [text_row("a", "x"), text_row("b", "y")])
    training.finish()


def test_a_file_that_cannot_grow_ends_it_and_the_checkpoint_before_loads(
    training: Training,
) -> None:
    """The system refuses files of more than so many bytes, as it does on a full disk."""
    arguments = [f"{key}={value}" for key, value in training.settings.items()]
    command = ["train", "align", *arguments, f"out={training.out}"]
    said = train_with_small_files(command, 40_000, training.out.parent / "log.txt")
    assert "code 1" in said
    assert "the checkpoint of step 2 could not be written to" in said
    assert "File too large" in said
    assert not list((training.run / "checkpoints").iterdir())
    training.finish()


@pytest.mark.timeout(900)
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
@pytest.mark.parametrize(
    "size",
    [800, *(pytest.param(size, marks=pytest.mark.slow) for size in (8, 200, 1900, 3000, 3700))],
)
def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    training: Training, straight: dict[str, Any], tmp_path: Path, size: int
) -> None:
    """A file system of so many KiB fills at another point of the run: all are survived."""
    disk = tmp_path / "disk"
    disk.mkdir()
    arguments = [f"{key}={value}" for key, value in training.settings.items()]
    command = ["train", "align", *arguments, f"out={disk}/out"]
    said = train_twice(command, disk, size, training.out)
    assert said.index("code 1") < said.index("code 0"), said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert "unexpected" not in said
    assert ".writing" not in said
    assert training.story()["weights"] == straight["weights"]
