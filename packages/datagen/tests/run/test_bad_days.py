"""Kills, full disks and endpoints that misbehave: nothing is lost, halved or paid for twice."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet
import pytest
import soundfile

import dying
from language_server import Reply, Server, by_digest, serving
from mmmodal.config import validate
from mmmodal.errors import ConfigError
from mmmodal_datagen.contracts import StopRun
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.reports.report import write_report
from mmmodal_datagen.run.runner import run_pipeline
from refused_rows import read_refusals

ROWS = 11


def write_questions(folder: Path, number: int = ROWS) -> None:
    """Write rows of one clip with its transcript and a first question."""
    from mmmodal_datagen.contracts import Medium, Piece, Row, Turn

    folder.mkdir(exist_ok=True)
    rows = [
        Row(
            id=f"clip-{index}",
            kind="clip",
            turns=(Turn(role="user", content=(Piece(type="text", text=f"Why {index}?"),)),),
            media=(Medium(kind="audio", uri=f"{index}.mp3", description=f"transkrip {index}"),),
            groups=(f"video-{index}",),
        )
        for index in range(number)
    ]
    lines = [row.model_dump_json(exclude_none=True) + "\n" for row in rows]
    (folder / "questions.jsonl").write_text("".join(lines), encoding="utf-8")


def values_of(folder: Path, url: str, **changes: Any) -> dict[str, Any]:
    """Return a pipeline from questions to exported dialogues."""
    write_questions(folder)
    options = {"model": "m", "base_url": url, "endpoint": "here", "backoff_s": 0.01}
    options |= changes.pop("endpoint", {})
    return {
        "out": str(folder / "out"),
        "root": str(folder),
        "shard_rows": 4,
        "concurrency": 3,
        "backends": {"writer": {"language_model": "openai", "options": options}},
        "steps": {
            "questions": {"step": "import", "options": {"files": ["questions.jsonl"]}},
            "dialogue": {"inputs": ["questions"], "options": {"turns": 2}},
            "export": {"inputs": ["dialogue"], "options": {"media": "leave"}},
        },
        **changes,
    }


def run(values: dict[str, Any]) -> list[Any]:
    return run_pipeline(validate(Pipeline, values, "test"))


def published(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all that a pipeline made, but for the store of answers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "out").rglob("*"))
        if path.is_file() and "calls" not in path.parts
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed; tests damage copies of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with serving() as server:
        run(values_of(folder, server.url))
        assert len(server.requests) == ROWS * 3
    return folder


@pytest.fixture(scope="module")
def reference(undisturbed: Path) -> dict[str, bytes]:
    """Return what a run makes that nothing disturbs."""
    return published(undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_before_every_rename_the_result_is_the_same(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    with serving() as server:
        values = values_of(tmp_path / "killed", server.url)
        kills = 0
        # Each process lives for one to nine renames, so that some die between a shard and its
        # sidecar; what is done until then stays done.
        while True:
            process = dying.process(dying.until_rename, values, 1 + kills % 9)
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            kills += 1
        assert kills > 5
        assert published(tmp_path / "killed") == reference
        # No answer was paid for twice but those that were on their way when the process died.
        assert len(server.requests) <= ROWS * 3 + kills * 3


def test_killed_amid_calls_only_open_ones_are_made_again(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    def slowly(request: dict[str, Any], number: int) -> Reply:
        return Reply(text=by_digest(request, number).text, wait_s=0.02)

    with serving(slowly) as server:
        values = values_of(tmp_path / "killed", server.url)
        kills = 0
        for asked in (2, 9, 20):
            process = dying.process(dying.run_whole, values)
            while len(server.requests) < asked and process.is_alive():
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        run(values)
        assert published(tmp_path / "killed") == reference
        assert len(server.requests) <= ROWS * 3 + kills * 3


def test_several_processes_make_what_one_makes_though_one_is_killed(
    tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMMODAL_PLUGINS", "mmmodal-datagen")  # the others take long to import

    def slowly(request: dict[str, Any], number: int) -> Reply:
        return Reply(text=by_digest(request, number).text, wait_s=0.05)

    with serving(slowly) as server:
        execution = {"kind": "local", "processes": 2}
        values = values_of(tmp_path / "pool", server.url, execution=execution)
        killer = threading.Thread(target=_kill_one, args=(server,))
        killer.start()
        run(values)
        killer.join()
    assert published(tmp_path / "pool") == reference


def _kill_one(server: Server) -> None:
    """Kill a process of the pool once it is at work."""
    while len(server.requests) < 2:
        time.sleep(0.005)
    for child in psutil.Process().children(recursive=True):
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
            return


def test_ranks_share_the_work_and_meet_in_the_folder(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    with serving() as server:
        execution = {"kind": "rank", "patience_s": 120}
        values = values_of(tmp_path / "ranks", server.url, execution=execution)
        ranks = [dying.process(dying.rank, values, number, 2, "one") for number in range(2)]
        for process in ranks:
            process.join()
            assert process.exitcode == 0
        assert published(tmp_path / "ranks") == reference
        assert len(server.requests) == ROWS * 3
        # Another number of processes finds the answers of all.
        shutil.rmtree(tmp_path / "ranks/out/steps/dialogue")
        run(values | {"execution": {"kind": "local"}})
        assert len(server.requests) == ROWS * 3
    assert published(tmp_path / "ranks") == reference


def test_a_full_disk_ends_the_run_and_costs_nothing(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    with serving() as server:
        values = values_of(tmp_path / "full", server.url)
        process = dying.process(dying.limited, values, 20_000)
        process.join()
        told = (tmp_path / "full/stopped.txt").read_text()
        assert "cannot be" in told and "out/" in told
        run(values)
    assert published(tmp_path / "full") == reference


def test_a_server_that_fails_one_call_in_five_loses_no_row(tmp_path: Path) -> None:
    faults = [
        Reply(status=500),
        Reply(status=429, headers={"retry-after": "0.01"}),
        Reply(disconnect=True),
        Reply(body=b'{"choices": ['),
        Reply(body=b'{"choices": []}'),
        Reply(body=b"", headers={"content-type": "text/html"}),
        Reply(status=503),
    ]
    count = iter(range(10**9))

    def reply(request: dict[str, Any], number: int) -> Reply:
        turn = next(count)
        return faults[turn // 5 % len(faults)] if turn % 5 == 2 else by_digest(request, number)

    with serving(reply) as server:
        values = values_of(tmp_path, server.url, endpoint={"retries": 8})
        outcomes = run(values)
        assert len(server.requests) > ROWS * 3
    assert (outcomes[1].rows, outcomes[1].rejected, outcomes[1].failed) == (ROWS, 0, 0)


def test_rows_whose_calls_time_out_fail_and_are_tried_again_next_time(tmp_path: Path) -> None:
    slow = True

    def reply(request: dict[str, Any], number: int) -> Reply:
        late = slow and "transkrip 3" in request["prompt"]
        return Reply(text=" yes", wait_s=1.5 if late else 0)

    with serving(reply) as server:
        endpoint = {"timeout_s": 0.5, "retries": 1}
        values = values_of(tmp_path, server.url, endpoint=endpoint)
        outcomes = run(values)
        assert (outcomes[1].rows, outcomes[1].failed) == (ROWS - 1, 1)
        assert outcomes[1].reasons == {"endpoint did not answer": 1}
        assert outcomes[2].notes == {"rows_train": ROWS - 1}
        slow = False
        asked = len(server.requests)
        outcomes = run(values)
        assert (outcomes[1].rows, outcomes[1].failed, outcomes[1].done) == (ROWS, 0, 1)
        assert len(server.requests) == asked + 3
        assert outcomes[2].notes == {"rows_train": ROWS}


def test_rows_without_an_endpoint_fail_and_say_that_nothing_listens(tmp_path: Path) -> None:
    endpoint = {"retries": 1}
    values = values_of(tmp_path, "http://127.0.0.1:9/v1", endpoint=endpoint)
    made = run(values)[1]
    assert made.reasons == {"endpoint did not answer": ROWS}
    path = next((tmp_path / "out/steps/dialogue").rglob("failed-00000.parquet"))
    assert all("127.0.0.1:9" in refusal.detail for refusal in read_refusals(path, again=True))


def test_a_wrong_key_ends_the_run_and_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    wrong = True
    with serving(
        lambda request, number: Reply(status=401) if wrong else by_digest(request, number)
    ) as server:
        values = values_of(tmp_path, server.url, endpoint={"api_key_env": "MY_KEY"})
        with pytest.raises(StopRun, match="the key is refused; set it in .* MY_KEY"):
            run(values)
        assert server.keys == {"Bearer sk-very-secret"}
        assert len(server.requests) <= 3
        wrong = False
        run(values)
    assert_nowhere("very-secret", tmp_path / "out")


@pytest.mark.parametrize(
    ("status", "error", "what"),
    [
        (429, {"message": "pay first", "code": "insufficient_quota"}, "the quota is used up"),
        (404, {"message": "no m here", "code": "model_not_found"}, "there is no such model"),
    ],
)
def test_what_no_row_can_pass_ends_the_run_and_marks_no_row(
    tmp_path: Path, reference: dict[str, bytes], status: int, error: dict[str, str], what: str
) -> None:
    left = iter(range(ROWS))  # a third of the calls

    def reply(request: dict[str, Any], number: int) -> Reply:
        if next(left, None) is not None:
            return by_digest(request, number)
        return Reply(status=status, body=json.dumps({"error": error}).encode())

    with serving(reply) as server:
        values = values_of(tmp_path / "poor", server.url)
        with pytest.raises(StopRun, match=f"{what}.*: {error['message']}$"):
            run(values)
        assert ROWS < len(server.requests) <= ROWS + 3
        assert not list((tmp_path / "poor/out").rglob("failed-*.parquet"))
        server.reply = by_digest
        run(values)
        assert len(server.requests) <= ROWS * 3 + 3
    assert published(tmp_path / "poor") == reference


def test_a_key_that_the_endpoint_repeats_is_written_nowhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = "sk-very-secret"
    monkeypatch.setenv("MY_KEY", f"{key}\n")  # as `cat` reads it from a file
    caplog.set_level(logging.DEBUG)
    error = json.dumps({"error": {"message": f"no credit for {key}"}}).encode()
    repeated = [
        Reply(status=400, body=error),
        Reply(status=429, body=error, headers={"retry-after": "0.01"}),
        Reply(status=500, body=error),
        Reply(status=503, body=error.replace(b"no credit", b"." * 245)),  # cut amid the key
        Reply(body=error),
        Reply(text=f" no credit for {key}"),
    ]

    def reply(request: dict[str, Any], number: int) -> Reply:
        row = int(request["prompt"].partition("transkrip ")[2].split()[0])
        return repeated[row] if row < len(repeated) else by_digest(request, number)

    with serving(reply) as server:
        patience = {"retries": 1, "rate_retries": 1, "api_key_env": "MY_KEY"}
        values = values_of(tmp_path, server.url, endpoint=patience)
        pipeline = validate(Pipeline, values, "test")
        outcomes = run_pipeline(pipeline)
        write_report(pipeline, outcomes)
        assert server.keys == {f"Bearer {key}"}
    assert outcomes[1].reasons == {
        "endpoint did not answer": 3,
        "endpoint refuses (400)": 1,
        "endpoint refuses for its rate": 1,
    }
    (path,) = (tmp_path / "out/steps/dialogue").rglob("failed-00000.parquet")
    for refusal in read_refusals(path, again=True):
        assert re.search(r"(no credit|\.{245}) for \(the key", refusal.detail)
    assert_nowhere("very-s", tmp_path / "out")
    told = capfd.readouterr()
    assert "very-s" not in caplog.text + told.out + told.err


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for given in ({"base_url": "https://me:very-secret@host/v1"}, {"api_key": "sk-very-secret"}):
        with pytest.raises(ConfigError) as caught:
            run(values_of(tmp_path, "http://127.0.0.1:9/v1", endpoint=given))
        assert "very-secret" not in str(caught.value)


def assert_nowhere(secret: str, folder: Path) -> None:
    """Look for a text in all that a run wrote, inside of what is compressed too."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert paths
    for path in paths:
        assert secret.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":
            assert secret not in str(pyarrow.parquet.read_table(path).to_pylist()), path


def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    told: list[float] = []
    answered: list[float] = []

    def reply(request: dict[str, Any], number: int) -> Reply:
        if not told:
            told.append(time.monotonic())
            return Reply(status=429, headers={"retry-after": "1"})
        answered.append(time.monotonic())
        return Reply(text=" yes")

    with serving(reply) as server:
        run(values_of(tmp_path, server.url, concurrency=1))
        assert len(server.requests) == ROWS * 3 + 1
    assert answered[0] - told[0] >= 1


def test_a_corrupt_recording_and_a_picture_without_a_caption_cost_no_other_row(
    tmp_path: Path,
) -> None:
    (tmp_path / "recordings").mkdir()
    sound = np.random.default_rng(0).normal(0, 0.1, 32_000)
    for name in ("corrupt.wav", "fine.wav"):
        soundfile.write(tmp_path / "recordings" / name, sound, 16_000)
    corrupt = tmp_path / "recordings/corrupt.wav"
    whole = corrupt.read_bytes()
    corrupt.write_bytes(whole[:-1000])
    pictures = [{"image": "a.jpg", "caption": "a red star"}, {"image": "b.jpg"}]
    lines = [json.dumps(each) + "\n" for each in pictures]
    (tmp_path / "pictures.jsonl").write_text("".join(lines))
    values = {
        "out": str(tmp_path / "out"),
        "root": str(tmp_path),
        "steps": {
            "recordings": {"step": "import", "options": {"files": ["recordings"]}},
            "clips": {"step": "segment", "inputs": ["recordings"]},
            "pictures": {"step": "import", "options": {"files": ["pictures.jsonl"]}},
            "told": {"step": "visual-qa", "inputs": ["pictures"]},
            "export": {"inputs": ["told"], "options": {"media": "leave"}},
        },
    }
    run(values)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    counts = {step["step"]: step for step in summary}
    assert counts["clips"]["reasons"] == {"unreadable medium (unreadable)": 1}
    assert (counts["clips"]["rows"], counts["clips"]["failed"]) == (1, 1)
    assert counts["told"]["reasons"] == {"no field 'description'": 1}
    assert (counts["told"]["rows"], counts["told"]["rejected"]) == (1, 1)
    assert counts["export"]["notes"] == {"rows_train": 1}
    corrupt.write_bytes(whole)  # what failed is tried again
    assert (run(values)[1].rows, run(values)[1].failed) == (2, 0)


def test_a_damaged_shard_is_made_again(
    tmp_path: Path, undisturbed: Path, reference: dict[str, bytes]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(undisturbed, folder)
    paths = sorted(folder.rglob("part-00001.parquet"))
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    paths[1].unlink()
    with serving() as server:
        outcomes = run(values_of(folder, server.url))
        assert server.requests == []
    assert [outcome.done for outcome in outcomes] == [1, 1, 0]
    assert published(folder) == reference
