"""Write dialogues as records, with their media as files."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmmodal_playground.dialogues import (
    TASKS,
    Clip,
    Dialogue,
    Medium,
    Task,
    make_dialogue,
    make_quiz,
)
from mmmodal_playground.scenes import draw_scene
from mmmodal_playground.speech import Say, save_speech, speaking
from mmmodal_playground.things import TALKS, Split

__all__ = ["dialogues", "make_benchmark", "make_records", "quizzes", "write_records"]

Named = tuple[str, Dialogue, dict[str, str]]
"""The id of a record, its dialogue, and further keys."""


def dialogues(
    number: int, *, split: Split, seed: int = 0, tasks: Sequence[Task] = TASKS
) -> Iterator[Dialogue]:
    """Yield `number` dialogues, with tasks and languages in turn, as determined by the seed."""
    chance = random.Random(f"{split} {seed}")
    turns = [(task, language) for task in tasks for language in TALKS]
    for index in range(number):
        task, language = turns[index % len(turns)]
        yield make_dialogue(task, language, split, chance)


def quizzes(
    number: int, *, seed: int = 0, turns: int, media: int, **shares: float
) -> Iterator[Dialogue]:
    """Yield long training dialogues about at most `media` media, with languages in turn.

    `shares` are those of `make_quiz`.
    """
    chance = random.Random(f"quizzes {seed} {media}")
    languages = list(TALKS)
    for index in range(number):
        language = languages[index % len(languages)]
        yield make_quiz(language, "train", chance, turns=turns, media=media, **shares)


def make_records(folder: Path, number: int, seed: int = 0, split: Split = "train") -> Path:
    """Write `number` dialogues with their media; return the path of `records.jsonl`."""
    return write_records(folder, dialogues(number, split=split, seed=seed), f"{split}-{seed}")


def make_benchmark(folder: Path, number: int, seed: int = 0) -> Path:
    """Write a benchmark to `folder`; return the path of `records.jsonl`.

    It has `number` conversations of each task and language, of the split `test`. The conversations
    of the two languages that are drawn alike are one cluster.
    """
    return _write(folder, _benchmark(number, seed))


def _benchmark(number: int, seed: int) -> Iterator[Named]:
    for index in range(number * len(TASKS)):
        cluster = f"benchmark-{seed}-{index}"
        for language in TALKS:
            # The same random numbers for both, so that they are about the same things.
            dialogue = make_dialogue(
                TASKS[index % len(TASKS)], language, "test", random.Random(cluster)
            )
            yield f"{cluster}-{language}", dialogue, {"cluster": cluster, "group": cluster}


def write_records(folder: Path, made: Iterable[Dialogue], name: str) -> Path:
    """Write dialogues and their media to `folder`; `name` is the prefix of ids and file names."""
    return _write(folder, ((f"{name}-{index}", each, {}) for index, each in enumerate(made)))


def _write(folder: Path, made: Iterable[Named]) -> Path:
    (folder / "media").mkdir(parents=True, exist_ok=True)
    path = folder / "records.jsonl"
    with path.open("w", encoding="utf-8") as file, speaking() as say:
        for name, dialogue, about in made:
            record = _record(folder, dialogue, name, say) | about
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def _record(folder: Path, dialogue: Dialogue, name: str, say: Say) -> dict[str, Any]:
    media = [
        _write_medium(folder, f"media/{name}-{index}", medium, say)
        for index, medium in enumerate(dialogue.media)
    ]
    messages = []
    for turn in dialogue.turns:
        content = [{"type": media[index]["kind"], "media": index} for index in turn.media]
        content.insert(len(content) if turn.media_first else 0, _text(turn.question))
        messages.append({"role": "user", "content": content})
        expect = {"tags": [dialogue.task, turn.kind]} if turn.scored else {"scored": False}
        answer = {"role": "assistant", "content": [_text(turn.answer)], "expect": expect}
        messages.append(answer)
    return {
        "id": name,
        "lang": dialogue.language,
        "messages": messages,
        "media": media,
        "meta": {
            "task": dialogue.task,
            "kinds": [turn.kind for turn in dialogue.turns],
            "scored": [turn.scored for turn in dialogue.turns],
        },
    }


def _write_medium(folder: Path, stem: str, medium: Medium, say: Say) -> dict[str, str]:
    if isinstance(medium, Clip):
        save_speech(folder / f"{stem}.wav", medium.phrase.text, medium.voice, say)
        return {"kind": "audio", "uri": f"{stem}.wav"}
    draw_scene(medium).save(folder / f"{stem}.png")
    return {"kind": "image", "uri": f"{stem}.png"}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
