"""Dialogues tell the truth, in both languages, are balanced, and are the same for a seed."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmmodal.cli.main import run
from mmmodal.records.dataset import RecordDataset, read_records
from mmmodal_playground.dialogues import TASKS, Clip, Dialogue, Task, make_dialogue
from mmmodal_playground.records import dialogues, make_records
from mmmodal_playground.scenes import Scene
from mmmodal_playground.things import HELD_OUT, TALKS, Split

NUMBERED = re.compile(r"(image|gambar|audio) (\d)")


def made(task: Task, language: str, split: Split = "train", number: int = 200) -> list[Dialogue]:
    chance = random.Random(f"{task} {language}")
    return [make_dialogue(task, language, split, chance) for _ in range(number)]


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


@pytest.mark.parametrize("language", TALKS)
def test_every_dialogue_has_several_turns_and_only_media_that_were_brought(
    task: Task, language: str
) -> None:
    for dialogue in made(task, language):
        assert 2 <= len(dialogue.turns) <= 6
        assert [i for turn in dialogue.turns for i in turn.media] == [*range(len(dialogue.media))]
        seen: Counter[str] = Counter()
        for turn in dialogue.turns:
            for index in turn.media:
                seen["image" if isinstance(dialogue.media[index], Scene) else "audio"] += 1
            for name, number in NUMBERED.findall(turn.question.lower()):
                assert int(number) <= seen["audio" if name == "audio" else "image"]


def test_media_are_of_the_task_and_of_the_split(task: Task) -> None:
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        for dialogue in made(task, "en", split):
            kinds = Counter(type(medium) for medium in dialogue.media)
            assert {
                "image": kinds == {Scene: 1},
                "audio": kinds == {Clip: 1},
                "images": 2 <= kinds[Scene] <= 3 and not kinds[Clip],
                "audios": 2 <= kinds[Clip] <= 3 and not kinds[Scene],
                "image-audio": kinds[Scene] and kinds[Clip] and kinds.total() <= 4,
                "recall": 2 <= kinds.total() <= 3,
            }[task]
            for medium in dialogue.media:
                assert (medium.phrase if isinstance(medium, Clip) else medium).split == split
                assert split == "test" or not HELD_OUT.intersection(medium.things)


@pytest.mark.parametrize("language", TALKS)
def test_yes_and_no_are_as_common(language: str) -> None:
    answers: dict[str, Counter[str]] = {}
    for task in TASKS:
        for dialogue in made(task, language, number=400):
            for turn in dialogue.turns:
                word = turn.answer.split(": ")[-1]
                if word in ("yes", "no", "ya", "tidak"):
                    answers.setdefault(turn.kind, Counter())[word] += 1
    assert {"shows", "names", "same-colour", "same-shape"} <= set(answers)
    for kind, counts in answers.items():
        assert 0.4 < min(counts.values()) / counts.total() <= 0.5, (kind, counts)


def test_relations_are_as_common() -> None:
    verdicts = Counter(
        turn.answer.split(": ")[-1]
        for dialogue in made("image-audio", "en", number=1500)
        for turn in dialogue.turns
        if turn.kind == "relate"
    )
    assert len(verdicts) == 4
    assert min(verdicts.values()) > 0.15 * verdicts.total()


def test_a_comparison_says_what_is_true() -> None:
    found = 0
    for dialogue in made("images", "en"):
        for turn in dialogue.turns:
            if turn.kind != "relate":
                continue
            i, j = (int(n) for _, n in NUMBERED.findall(turn.question))
            a, b = (dialogue.media[n - 1].things[0] for n in (i, j))
            verdict = {
                "both": "the same colour and shape",
                "colour": "the same colour",
                "shape": "the same shape",
                "nothing": "nothing",
            }[a.shares(b)]
            assert turn.answer == (
                f"image {i} {a.colour} {a.shape} and image {j} {b.colour} {b.shape}: {verdict}"
            )
            found += 1
    assert found > 50


def test_recall_asks_last_about_a_medium_of_an_earlier_turn() -> None:
    for dialogue in made("recall", "en"):
        last = dialogue.turns[-1]
        assert last.scored and not last.media
        assert not any(turn.scored for turn in dialogue.turns[:-1])


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        make_records(folder, 12, seed)
    found = [
        {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in folders
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_every_record_and_medium_passes_the_check(tmp_path: Path) -> None:
    code = run(["playground", "make", str(tmp_path), "--split", "test", "--n", "24"])
    assert code == 0
    path = tmp_path / "records.jsonl"
    assert run(["data", "check", str(path)]) == 0
    dataset = RecordDataset(path)
    records = [dataset[row][1] for row in range(len(dataset))]
    assert {record.lang for record in records} == {"en", "ms"}
    assert {record.meta["task"] for record in records if record.meta} == set(TASKS)
    assert {medium.kind for record in records for medium in record.media} == {"image", "audio"}


def test_the_splits_share_no_dialogue() -> None:
    train, test = (
        {(d.media, d.turns) for d in dialogues(600, split=split)} for split in ("train", "test")
    )
    assert not train & test


def test_a_benchmark_has_each_task_in_both_languages_as_one_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "held-out"
    assert run(["playground", "make", "benchmark", str(out), "--n", "2"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == out / "records.jsonl" and run(["data", "check", str(path)]) == 0
    clusters: dict[str | None, list[Any]] = {}
    for _, record in read_records(path):
        clusters.setdefault(record.cluster, []).append(record)
    assert len(clusters) == 2 * len(TASKS)
    for pair in clusters.values():
        assert [record.lang for record in pair] == ["en", "ms"]
        one, other = ({tag for m in r.messages if m.expect for tag in m.expect.tags} for r in pair)
        assert one & other & set(TASKS)


def test_turns_that_only_bring_a_medium_in_are_not_scored(tmp_path: Path) -> None:
    path = make_records(tmp_path, 36)
    for _, record in read_records(path):
        assert record.meta is not None
        expected = [m.expect for m in record.messages if m.role == "assistant"]
        assert [each is not None and each.scored for each in expected] == record.meta["scored"]


def test_a_folder_may_have_the_name_of_the_benchmark(tmp_path: Path) -> None:
    assert run(["playground", "make", str(tmp_path / "benchmark"), "--n", "2"]) == 0
    assert len(list(read_records(tmp_path / "benchmark/records.jsonl"))) == 2
