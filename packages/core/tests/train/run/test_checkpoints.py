"""A checkpoint counts when it is whole; a damaged one is set aside, and the one before is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmmodal.errors import CheckpointError
from mmmodal.train.run.checkpoints import Checkpoints
from mmmodal.train.run.journal import Journal, cut_journals
from mmmodal.train.run.manifest import MANIFEST, seal, what_is_wrong

FILES = {"trained.safetensors": 3000, "optimizer.pt": 5000, "global_step1/zero.pt": 40, "empty": 0}


def write(checkpoints: Checkpoints, step: int) -> None:
    with checkpoints.writing(step) as folder:
        fill(folder)


def fill(folder: Path) -> None:
    for name, size in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def keeping(folder: Path, keep: int = 2, deepspeed: bool = False) -> Checkpoints:
    return Checkpoints(folder, keep=keep, deepspeed=deepspeed)


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    **{
        f"a flipped bit in {name} at {place}": lambda folder, n=name, p=place: flip(folder / n, p)
        for name, size in FILES.items()
        if size
        for place in (0.0, 0.5, 1.0)
    },
    **{f"{name} missing": lambda folder, n=name: (folder / n).unlink() for name in FILES},
    **{f"{name} cut": lambda f, n=name: os.truncate(f / n, 0) for name, s in FILES.items() if s},
    "a file too many": lambda folder: (folder / "scaler.pt").write_bytes(b"x"),
    "two files swapped": lambda folder: (
        (folder / "empty").rename(folder / "other"),
        (folder / "optimizer.pt").rename(folder / "empty"),
        (folder / "other").rename(folder / "optimizer.pt"),
    ),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "half a manifest": lambda folder: os.truncate(folder / MANIFEST, 200),
    "an empty manifest": lambda folder: os.truncate(folder / MANIFEST, 0),
    "another's manifest": lambda folder: (folder / MANIFEST).write_text('{"step": 1}'),
    "a list": lambda folder: (folder / MANIFEST).write_text("[]"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(
    tmp_path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = keeping(tmp_path)
    write(checkpoints, 10)
    write(checkpoints, 20)
    damage(tmp_path / "checkpoint-20")
    newest = keeping(tmp_path).newest()
    assert newest is not None and newest.step == 10
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "step 20 is damaged (" in told[0] and ") and was renamed to " in told[0]
    assert names(tmp_path) == {"checkpoint-10", "damaged-checkpoint-20"}


def test_with_no_sound_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert keeping(tmp_path / "nosuch").newest() is None
    write(keeping(tmp_path), 5)
    (tmp_path / "checkpoint-5" / MANIFEST).unlink()
    assert keeping(tmp_path).newest() is None


def test_only_the_newest_are_kept_by_step_not_by_name_or_time(tmp_path: Path) -> None:
    checkpoints = keeping(tmp_path, keep=2)
    for step in (9, 10, 100):
        write(checkpoints, step)
    os.utime(tmp_path / "checkpoint-10", (9e9, 9e9))
    assert names(tmp_path) == {"checkpoint-10", "checkpoint-100"}
    newest = checkpoints.newest()
    assert newest is not None and newest.step == 100


def test_what_a_killed_process_left_is_never_used_and_goes(tmp_path: Path) -> None:
    write(keeping(tmp_path), 1)
    fill(tmp_path / ".writing/checkpoint-2")
    fill(tmp_path / ".removing")
    newest = keeping(tmp_path).newest()
    assert newest is not None and newest.step == 1
    assert names(tmp_path) == {"checkpoint-1"}


def test_a_failed_write_leaves_the_ones_before_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = keeping(tmp_path)
    write(checkpoints, 1)
    told = r"step 2 could not be written .* to resume from step 1$"
    with pytest.raises(CheckpointError, match=told), checkpoints.writing(2) as folder:
        fill(folder)
        raise RuntimeError("PytorchStreamWriter failed writing file data/0")
    assert names(tmp_path) == {"checkpoint-1"}
    assert what_is_wrong(tmp_path / "checkpoint-1") is None


def test_a_checkpoint_is_written_again_over_one_of_the_same_step(tmp_path: Path) -> None:
    checkpoints = keeping(tmp_path)
    write(checkpoints, 3)
    before = (tmp_path / "checkpoint-3" / MANIFEST).read_text()
    write(checkpoints, 3)
    assert (tmp_path / "checkpoint-3" / MANIFEST).read_text() != before
    assert what_is_wrong(tmp_path / "checkpoint-3") is None


def test_deepspeed_checkpoints_need_deepspeed_and_as_many_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    write(keeping(tmp_path, deepspeed=True), 1)
    assert keeping(tmp_path, deepspeed=True).newest()
    with pytest.raises(CheckpointError, match="written with DeepSpeed"):
        keeping(tmp_path, deepspeed=False).newest()
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(CheckpointError, match="written by 2 processes with DeepSpeed"):
        keeping(tmp_path, deepspeed=True).newest()


def test_a_manifest_of_a_later_format_is_not_read(tmp_path: Path) -> None:
    fill(tmp_path / "one")
    seal(tmp_path / "one", {})
    content = json.loads((tmp_path / "one" / MANIFEST).read_text())
    (tmp_path / "one" / MANIFEST).write_text(json.dumps({**content, "format": 2}))
    assert what_is_wrong(tmp_path / "one") == "its manifest.json is damaged"


def test_journals_are_cut_to_a_step_and_lose_half_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in range(1, 6):
        journal.note(step, {"loss": float("nan") if step == 2 else 0.5})
    with journal.path.open("a") as file:
        file.write('{"step": 3, "lo')
    cut_journals(tmp_path, 3)
    assert [row["loss"] for row in journal.rows()] == [0.5, None, 0.5]
    assert journal.path.read_text().endswith("}\n")
    assert names(tmp_path) == {"metrics.jsonl"}
