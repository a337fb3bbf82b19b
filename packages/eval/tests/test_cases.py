"""The questions of records that are scored, and which of them are independent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmmodal.authoring.records import Record
from mmmodal_eval.cases import Conversation, cases_of, clusters_of


def conversation(name: str, *media: str, root: str = ".", **about: Any) -> Conversation:
    """Return a conversation of one turn about all media."""
    parts = [{"type": "image", "media": index} for index in range(len(media))]
    messages = [
        {"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "red"}],
            **about.pop("answer", {}),
        },
    ]
    refs = [{"kind": "image", "uri": uri} for uri in media]
    record = Record.model_validate({"id": name, "messages": messages, "media": refs, **about})
    return Conversation(record, Path(root), f"rows.jsonl:{name}")


def test_an_answer_is_compared_with_the_text_of_its_turn() -> None:
    (case,) = cases_of([conversation("a", "1.png", lang="en")], "exact")
    assert case.expected.references == ("red",) and case.expected.question == "What is it?"
    assert (case.scorer, case.turn, case.modalities, case.media) == ("exact", 0, ("image",), 1)


def test_a_turn_says_otherwise() -> None:
    expect = {
        "scorer": "choice",
        "choices": ["red", "blue"],
        "references": ["red"],
        "tags": ["hue"],
    }
    (case,) = cases_of([conversation("a", answer={"expect": expect})], "exact")
    assert (case.scorer, case.expected.choices, case.tags) == ("choice", ("red", "blue"), ("hue",))


def test_a_turn_that_is_not_scored_is_no_case() -> None:
    assert not cases_of([conversation("a", answer={"expect": {"scored": False}})], "exact")


def test_records_that_share_a_medium_are_one_cluster() -> None:
    chained = [
        conversation("a", "1.png"),
        conversation("b", "1.png", "2.png"),
        conversation("c", "2.png"),
    ]
    alone = [
        conversation("d", "3.png"),
        conversation("e", "1.png", root="elsewhere"),
        conversation("f"),
    ]
    assert clusters_of([*alone[:1], *chained, *alone[1:]]) == ["d", "a", "a", "a", "e", "f"]


def test_a_record_names_its_cluster() -> None:
    named = [
        conversation("a", "1.png", cluster="x"),
        conversation("b", "1.png"),
        conversation("c", cluster="x"),
    ]
    assert clusters_of(named) == ["x", "b", "x"]
