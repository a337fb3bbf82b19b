"""A quickstart goes through all its steps, goes on where it was stopped, and tells what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

import pytest

import mmmodal
from forking import forked
from mmmodal.cli.main import run
from mmmodal.errors import MMModalError
from mmmodal_playground.quickstart.results import results_of
from mmmodal_playground.quickstart.steps import Quickstart, Sizes
from small_quickstart import SMALL, run_small_quickstart


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Quickstart:
    quickstart = Quickstart(tmp_path_factory.mktemp("quickstart") / "out", 0, print, Sizes(**SMALL))
    results_of(quickstart)
    return quickstart


def test_results_have_every_task_and_language_beside_blind_baselines(done: Quickstart) -> None:
    results = json.loads((done.out / "results.json").read_text())
    names = {"image", "audio", "images", "audios", "image-audio", "recall"}
    assert set(results["tasks"]) == {f"{name}-{code}" for name in names for code in ("en", "ms")}
    for row in results["tasks"].values():
        assert set(row) == {
            "accuracy",
            "low",
            "high",
            "n",
            "conversations",
            "majority",
            "shuffled",
            "stage1",
        }
        assert row["conversations"] == SMALL["tested"] <= row["n"]
        assert all(0 <= row[k] <= 1 for k in ("accuracy", "majority", "shuffled", "stage1"))
    assert results["seconds"] > 0 and results["seed"] == 0
    assert (done.out / "report.html").stat().st_size > 10_000


def test_answers_in_a_batch_are_those_of_a_chat(done: Quickstart) -> None:
    model, root = mmmodal.load(done.out / "model"), done.out / "data" / "test"
    for conversation, replies in done.evaluate("model").replies[:12]:
        record, answers = conversation.record, [reply.text for reply in replies]
        chat = mmmodal.Chat(model, root=root, max_new_tokens=32)
        for message, answer in zip(record.messages[::2], answers, strict=True):
            content = [
                part.text
                if part.media is None
                else {"type": part.type, "path": record.media[part.media].uri}
                for part in message.content
            ]
            assert chat.say(content) == answer


def test_a_finished_quickstart_does_nothing_twice(done: Quickstart) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.out.rglob("*.safetensors")}
    told: list[str] = []
    results_of(Quickstart(done.out, 0, told.append, Sizes(**SMALL)))
    assert not told
    assert before == {path: path.stat().st_mtime_ns for path in done.out.rglob("*.safetensors")}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(signal.SIGINT, id="interrupted", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
def test_the_same_command_goes_on_after_it_was_stopped(
    done: Quickstart, tmp_path: Path, stop: signal.Signals
) -> None:
    log = tmp_path / "told.txt"
    first = forked(run_small_quickstart, tmp_path / "out", log)
    first.start()
    metrics = tmp_path / "out" / "aligned" / "run" / "metrics.jsonl"
    while not metrics.exists() and first.is_alive():
        time.sleep(0.05)
    os.kill(first.pid, stop)
    first.join()
    assert first.exitcode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    assert "training" in log.read_text()
    again = forked(run_small_quickstart, tmp_path / "out", log)
    again.start()
    again.join()
    assert again.exitcode == 0, log.read_text()
    assert "drawing" not in log.read_text() and "composing" not in log.read_text()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    expected = json.loads((done.out / "results.json").read_text())
    assert results["tasks"].keys() == expected["tasks"].keys()


def test_other_settings_in_the_same_folder_are_refused(done: Quickstart) -> None:
    with pytest.raises(MMModalError, match="begun with other settings"):
        Quickstart(done.out, 1, print, Sizes(**SMALL)).begin()
    assert run(["quickstart", "--out", str(done.out), "--seed", "3"]) == 1


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert run(["quickstart", "--out", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["playground", "say", "a red circle", "/dev/full"]) == 1
    error = capsys.readouterr().err
    assert "/dev/full" in error and "make room" in error and "Traceback" not in error


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_whole_quickstart_answers_what_it_never_saw_or_heard(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mmmodal",
        "quickstart",
        "--out",
        str(tmp_path / "q"),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)
    assert len(results["tasks"]) == 12
    for name, row in results["tasks"].items():
        assert row["conversations"] >= 200
        assert row["accuracy"] >= 0.85, (name, row)
        assert row["shuffled"] <= row["majority"] + 0.05, (name, row)
    right, before = (
        mean(row[k] for row in results["tasks"].values()) for k in ("accuracy", "stage1")
    )
    assert right >= 0.92
    assert right > before
    assert f"mmmodal chat {tmp_path / 'q' / 'model'}" in done.stderr
