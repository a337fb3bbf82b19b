"""Accuracies, blind baselines and shuffled media are what the results say they are."""

from __future__ import annotations

from mmmodal.contracts.record import Record
from mmmodal_playground.quickstart.scoring import (
    accuracies,
    majorities,
    normalise,
    shuffle_media,
    true_answers,
)


def record(name: str, answers: list[str], scored: list[bool] | None = None) -> Record:
    messages = []
    for answer in answers:
        messages.append({"role": "user", "content": [{"type": "image", "media": 0}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    meta = {
        "task": "image",
        "kinds": ["colour", "shows", "colour"][: len(answers)],
        "scored": scored or [True] * len(answers),
    }
    media = [{"kind": "image", "uri": f"{name}.png"}]
    values = {"id": name, "lang": "en", "messages": messages, "media": media, "meta": meta}
    return Record.model_validate(values)


def test_case_punctuation_and_spaces_do_not_count() -> None:
    assert normalise("  Red and RED:  yes. ") == normalise("red and red yes")
    assert normalise("red") != normalise("reds")


def test_only_scored_answers_count() -> None:
    records = [record("a", ["red", "yes"], [False, True])]
    assert accuracies(records, [["blue", "Yes."]]) == {"image-en": 1.0}
    assert accuracies(records, [["red", "no"]]) == {"image-en": 0.0}


def test_the_majority_knows_the_commonest_answer_to_each_kind_of_question() -> None:
    records = [record("a", ["red", "yes"]), record("b", ["red", "no"]), record("c", ["blue", "no"])]
    assert majorities(records) == {"image-en": (4 / 6, 6, 3)}


def test_shuffling_gives_nobody_their_own_medium_and_loses_none() -> None:
    records = [record(str(n), ["red"]) for n in range(7)]
    exchanged = shuffle_media(records)
    before, after = ([r.media[0].uri for r in rows] for rows in (records, exchanged))
    assert sorted(before) == sorted(after)
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert [true_answers(r) for r in exchanged] == [true_answers(r) for r in records]
