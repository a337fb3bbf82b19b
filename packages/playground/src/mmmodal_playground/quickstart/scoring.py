"""Accuracies by task and language, and those of answers without media."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from mmmodal.authoring.records import Record

__all__ = ["accuracies", "majorities", "normalise", "shuffle_media", "task_of", "true_answers"]

QUIET = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Return a text in lower case, without punctuation, with single spaces."""
    return " ".join(text.casefold().translate(QUIET).split())


def task_of(record: Record) -> str:
    """Return a record's task and language, such as `image-en`."""
    return f"{_meta(record)['task']}-{record.lang}"


def true_answers(record: Record) -> list[str]:
    """Return the right answer to each user turn."""
    said = (message for message in record.messages if message.role == "assistant")
    return ["".join(part.text or "" for part in message.content) for message in said]


def accuracies(records: Sequence[Record], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the share of right answers of each task: exact match after `normalise`."""
    right = defaultdict(list)
    for record, said in zip(records, answers, strict=True):
        for scored, true, answer in zip(
            _meta(record)["scored"], true_answers(record), said, strict=True
        ):
            if scored:
                right[task_of(record)].append(normalise(answer) == normalise(true))
    return {task: sum(hits) / len(hits) for task, hits in right.items()}


def majorities(records: Sequence[Record]) -> dict[str, tuple[float, int, int]]:
    """Return the accuracy of the most frequent answers, and the numbers of answers and records.

    The most frequent answer to each kind of question is taken from the tested answers themselves,
    so it is the best possible accuracy without media.
    """
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for record in records:
        for kind, answer in _scored(record):
            counts[task_of(record)][kind][normalise(answer)] += 1
    conversations = Counter(map(task_of, records))
    result = {}
    for task, kinds in counts.items():
        total = sum(counter.total() for counter in kinds.values())
        commonest = sum(max(counter.values()) for counter in kinds.values())
        result[task] = (commonest / total, total, conversations[task])
    return result


def _scored(record: Record) -> Iterable[tuple[str, str]]:
    meta = _meta(record)
    for kind, scored, answer in zip(
        meta["kinds"], meta["scored"], true_answers(record), strict=True
    ):
        if scored:
            yield kind, answer


def _meta(record: Record) -> dict[str, Any]:
    assert record.meta is not None, "records of the playground say what they ask"
    return record.meta


def shuffle_media(records: Sequence[Record]) -> list[Record]:
    """Return conversations with media of others, of the same kinds in the same places.

    The media of each kind are rotated by more places than a conversation has, so that none keeps
    one of its own.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for row, record in enumerate(records):
        for index, medium in enumerate(record.media):
            places.setdefault(medium.kind, []).append((row, index))
    media = [list(record.media) for record in records]
    for kind, ring in places.items():
        most = max(sum(m.kind == kind for m in record.media) for record in records)
        if len(ring) < 2 * most:
            raise ValueError(f"{len(ring)} media of kind {kind!r} are too few to exchange")
        for (row, index), (other, place) in zip(ring, ring[most:] + ring[:most], strict=True):
            media[row][index] = records[other].media[place]
    return [
        record.model_copy(update={"media": tuple(changed)})
        for record, changed in zip(records, media, strict=True)
    ]
