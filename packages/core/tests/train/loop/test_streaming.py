"""Training on streamed data: every row once an epoch, and exact to the bit through a kill."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from killing import Fate, Training, copy_of
from mmmodal.cli.main import run
from mmmodal.errors import RecordError
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.run.manifest import MANIFEST, read_facts, seal
from mmmodal.train.stage.stage import Outcome, run_stage
from mmmodal_playground.records import make_records
from poison import text_row
from worlds import read_lines, record, write_lines

ROWS = 48
EVERY = range(1, ROWS + 1)

SETTINGS = {
    "batch_size": 1,
    "max_steps": 8,
    "shuffle_window": 16,
    "max_tokens": 512,
    # Logs and checkpoints fall on different steps.
    "log_every": 3,
    "save_every": 2,
    "note_rows": True,
    "weight_decay": 0.1,
    "learning_rate": 0.01,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of lines, a table and tar shards that hold their media, with rows that share some."""
    made = (make_records(tmp_path_factory.mktemp("data"), n) for n in (13, 5, 9, 8))
    lines, few, rows, more = made
    write_lines(lines, read_lines(lines) * 9)
    table, shards = rows.with_suffix(".parquet"), more.parent / "shards"
    shards.mkdir()
    assert run(["data", "convert", str(rows), str(table), "--media", "embed"]) == 0
    held = pyarrow.parquet.read_table(table)
    pyarrow.parquet.write_table(pyarrow.concat_tables([held] * 9), table, row_group_size=2)
    options = ["--media", "embed", "--shard-records", "3"]
    assert run(["data", "convert", str(more), str(shards / "part.tar"), *options]) == 0
    return [lines, few, table, shards]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    return write_lines(path, [text_row(f"row {n}", f"word {n}") for n in EVERY])


def streamed(start: Path, data: Sequence[dict[str, Any]], out: Path, **more: Any) -> Training:
    return Training("align", {"model": start, "data": json.dumps(data), **SETTINGS, **more}, out)


def mixture(start: Path, sources: Sequence[Path], out: Path, **more: Any) -> Training:
    """Return a training on streamed lines, table and tar shards and on indexed lines, by weight."""
    lines, few, table, shards = map(str, sources)
    data = [
        {"path": lines, "streaming": True, "weight": 3},
        {"path": few},
        {"path": table, "streaming": True, "weight": 1.5},
        {"path": shards, "streaming": True, "weight": 2},
    ]
    return streamed(start, data, out, **more)


def of_one(start: Path, path: Path, out: Path, **more: Any) -> Training:
    return streamed(start, [{"path": str(path), "streaming": True}], out, **more)


def trained(training: Training) -> Outcome:
    settings = {**training.settings, "out": training.out}
    given = [f"{key}={value}" for key, value in settings.items()]
    return run_stage(load_recipe(training.stage, given))


def seen(training: Training) -> list[str]:
    """Return the rows of all steps and ranks."""
    journals = sorted(training.run.glob("rows-*.jsonl"))
    return [row for path in journals for step in read_lines(path) for row in step["rows"]]


@pytest.fixture(scope="module")
def straight(start: Path, sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the packed training of the mixture that nothing kills."""
    training = mixture(start, sources, tmp_path_factory.mktemp("straight") / "out", packing=True)
    trained(training)
    return training


@pytest.fixture(scope="module")
def interrupted(straight: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return the same, killed with a whole checkpoint of step 4, with batches read ahead."""
    out = tmp_path_factory.mktemp("interrupted") / "out"
    training = straight.elsewhere(out, settings={**straight.settings, "workers": 2})
    running = training.start(Fate("os.rename", "checkpoint-6"))
    assert running.wait() == -signal.SIGKILL, running.text()
    shutil.rmtree(training.run / "checkpoints/.writing")
    return training


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_mixture_goes_on_bitwise_with_any_number_of_workers(
    straight: Training, interrupted: Training, tmp_path: Path, workers: int
) -> None:
    killed = copy_of(interrupted, tmp_path / "out")
    trained(dataclasses.replace(killed, settings={**killed.settings, "workers": workers}))
    assert killed.story() == straight.story()


def test_all_data_sets_are_read_and_the_report_says_streamed(straight: Training) -> None:
    story = straight.story()
    assert len(story["rows"]["rows-0.jsonl"]) == SETTINGS["max_steps"]
    assert len({row.rpartition(":")[0] for row in seen(straight)}) == 6  # three of them tar shards
    assert len(seen(straight)) > 2 * len(story["rows"]["rows-0.jsonl"])  # packs of several
    report = (straight.run / "report.html").read_text()
    assert report.count('<td class="number">streamed</td>') == 7  # one data set has an index


@pytest.mark.timeout(600)
def test_without_the_position_in_the_stream_it_does_not(
    straight: Training, interrupted: Training, tmp_path: Path
) -> None:
    """The test of the test above."""
    killed = copy_of(interrupted, tmp_path / "out")
    folder = killed.run / "checkpoints/checkpoint-4"
    facts = read_facts(folder)
    (folder / "stream-0.json").write_text(json.dumps({"turn": 0, "lanes": {}}))
    (folder / MANIFEST).unlink()
    seal(folder, facts)
    trained(killed)
    assert killed.story() != straight.story()


@pytest.mark.timeout(600)
def test_a_run_that_gets_sigterm_goes_on_bitwise(
    start: Path, sources: list[Path], tmp_path: Path
) -> None:
    straight = mixture(start, sources, tmp_path / "straight")
    trained(straight)
    stopped = straight.elsewhere(tmp_path / "stopped")
    running = stopped.start(Fate("os.rename", "checkpoint-2", number=signal.SIGTERM))
    assert running.wait() == 0, running.text()
    assert not stopped.is_finished() and "with a checkpoint" in running.text()
    trained(stopped)
    assert stopped.story() == straight.story()


@pytest.mark.timeout(600)
def test_two_ranks_go_on_bitwise_and_no_other_number(
    start: Path, sources: list[Path], tmp_path: Path
) -> None:
    straight = mixture(start, sources, tmp_path / "straight", packing=True, max_steps=6)
    straight = dataclasses.replace(straight, ranks=2)
    straight.finish()
    killed = straight.elsewhere(tmp_path / "killed")
    assert killed.start(Fate("os.rename", "checkpoint-4")).wait() == -signal.SIGKILL
    running = dataclasses.replace(killed, ranks=1).start()
    assert running.wait() == 1
    assert "was begun on 2 processes, which read streamed data" in running.text()
    killed.finish()
    assert killed.story() == straight.story()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_has_every_row_once(
    start: Path, texts: Path, tmp_path: Path, packing: bool, workers: int
) -> None:
    """Each of the 12 lanes reads 4 rows of an epoch, in one batch."""
    settings = {"batch_size": 1 if packing else 4, "max_steps": 24, "packing": packing}
    training = of_one(start, texts, tmp_path / "out", workers=workers, **settings)
    trained(training)
    rows = seen(training)
    for epoch in (rows[:ROWS], rows[ROWS:]):
        assert Counter(epoch) == {f"{texts}:{line}": 1 for line in EVERY}
    assert rows[:ROWS] != rows[ROWS:]


@pytest.mark.timeout(600)
def test_two_ranks_read_every_row_of_an_epoch_once(
    start: Path, texts: Path, tmp_path: Path
) -> None:
    training = of_one(start, texts, tmp_path / "out", batch_size=2, max_steps=12)
    dataclasses.replace(training, ranks=2).finish()
    assert Counter(seen(training)) == {f"{texts}:{line}": 1 for line in EVERY}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 24 good rows, after each a line that is none, and missing pictures at the end."""
    rows = [row for n in range(24) for row in (text_row(f"row {n}"), "{")]
    gone = [record(f"gone-{n}", ("image", "gone.png")) for n in range(12)]
    path = tmp_path_factory.mktemp("damaged") / "rows.jsonl"
    return write_lines(path, [*rows, *gone])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("packing", [False, True])
def test_a_bad_row_is_refused_by_name(
    start: Path, damaged: Path, tmp_path: Path, packing: bool, workers: int
) -> None:
    settings = {"packing": packing, "workers": workers, "max_steps": 99}
    with pytest.raises(RecordError, match=r"rows\.jsonl:\d+: (not valid JSON|gone\.png)"):
        trained(of_one(start, damaged, tmp_path / "out", **settings))


@pytest.mark.parametrize("packing", [False, True])
def test_bad_rows_are_skipped_and_counted_and_no_good_one_is(
    start: Path, damaged: Path, tmp_path: Path, packing: bool
) -> None:
    """Each of the 12 lanes reads 2 good rows of an epoch, and 3 bad ones."""
    settings = {"batch_size": 3, "on_bad_sample": "skip", "packing": packing, "max_steps": 24}
    training = of_one(start, damaged, tmp_path / "out", **settings)
    outcome = trained(training)
    bad = {f"{damaged}:{line}" for line in (*range(2, 49, 2), *range(49, 61))}
    told = [row["row"] for row in read_lines(training.run / "skipped-0.jsonl")]
    assert set(told) == bad and outcome.skipped_rows == len(bad)
    assert set(seen(training)) == {f"{damaged}:{line}" for line in range(1, 48, 2)}


def test_a_file_without_a_row_is_refused(start: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "none.jsonl", ["", ""])
    with pytest.raises(RecordError, match=r"none\.jsonl: it has no records"):
        trained(of_one(start, path, tmp_path / "out"))


def test_a_file_that_changed_is_refused_when_a_run_goes_on(
    start: Path, texts: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(texts, tmp_path / "rows.jsonl"))
    training = of_one(start, path, tmp_path / "out")
    assert training.start(Fate("os.rename", "checkpoint-4")).wait() == -signal.SIGKILL
    write_lines(path, read_lines(path)[:-1])
    running = training.start()
    assert running.wait() == 1
    assert "bytes of data, but now there are" in running.text()
    path.write_bytes(texts.read_bytes().replace(b"0", b"1"))
    running = training.start()
    assert running.wait() == 1
    assert f"{path} has changed since {training.out} was begun" in running.text()
