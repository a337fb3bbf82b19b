"""Questions asked again with media, or questions, of other conversations, or without media."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmmodal.authoring.records import Record
from mmmodal_eval.cases import Conversation
from mmmodal_eval.controls.control import Control
from mmmodal_eval.controls.exchange import controls_of


def conversation(
    name: str,
    *turns: str | tuple[str, ...],
    root: str = ".",
    tags: tuple[str, ...] = (),
    **about: Any,
) -> Conversation:
    """Return a conversation: each turn is a text, behind names of media such as `image:a.png`."""
    media: list[dict[str, str]] = []
    messages = []
    for turn in turns:
        *shown, text = (turn,) if isinstance(turn, str) else turn
        parts = []
        for each in shown:
            kind, uri = each.split(":")
            parts.append({"type": kind, "media": len(media)})
            media.append({"kind": kind, "uri": uri})
        parts += [{"type": "text", "text": text}] if text else []
        messages.append({"role": "user", "content": parts})
        answer = {"role": "assistant", "content": [{"type": "text", "text": f"answer of {name}"}]}
        messages.append(answer | ({"expect": {"tags": list(tags)}} if tags else {}))
    record = Record.model_validate({"id": name, "messages": messages, "media": media, **about})
    return Conversation(record, Path(root), f"rows.jsonl:{name}")


def uris(control: Control, kind: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the media of that kind of each changed conversation."""
    for index, change in control.changed.items():
        yield index, [m.uri for m in change.conversation.record.media if m.kind == kind]


def asked(control: Control) -> dict[int, list[str]]:
    """Return the questions of each changed conversation."""
    return {
        index: [m.text for m in change.conversation.record.messages if m.role == "user"]
        for index, change in control.changed.items()
    }


DATA = [
    conversation("a", ("image:1.png", "image:2.png", "Which is red?"), "Which is blue?"),
    conversation("b", ("image:3.png", "audio:1.wav", "What is it?")),
    conversation("c", "Hello", ("image:4.png", "What is this?"), ("audio:2.wav", "And that?")),
    conversation("d", ("audio:3.wav", "What is said?")),
    conversation("e", "What is two and two?"),
    conversation("f", ("image:5.png", "image:6.png", "audio:4.wav", "Do they match?")),
]


def test_each_modality_is_exchanged_and_left_out() -> None:
    names = ["image exchanged", "image left out", "audio exchanged", "audio left out"]
    assert list(controls_of(DATA)) == [*names, "question exchanged", "all exchanged"]
    assert list(controls_of(DATA[4:5])) == [
        "question exchanged"
    ] and "timeseries left out" in controls_of(
        [conversation("t", ("timeseries:1.csv", "What rises?"))]
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["image", "audio"])
def test_no_conversation_keeps_a_medium_of_its_own(kind: str, seed: int) -> None:
    control = controls_of(DATA, seed)[f"{kind} exchanged"]
    having = [i for i, one in enumerate(DATA) if any(m.kind == kind for m in one.record.media)]
    assert list(control.changed) == having and not control.refused
    used: Counter[str] = Counter()
    for index, found in uris(control, kind):
        own = [m.uri for m in DATA[index].record.media if m.kind == kind]
        assert len(found) == len(own) and not set(found) & set(own)
        used.update(found)
    assert set(used.values()) == {1}, "each medium is used as often as before"


def test_what_a_control_does_not_concern_stays_as_it_is() -> None:
    before = [one.record.model_dump() for one in DATA]
    for control in controls_of(DATA).values():
        for index, change in control.changed.items():
            record, whole = change.conversation.record, Record.model_validate
            assert whole(record.model_dump()) == record and record.id == DATA[index].record.id
            answers = [m for m in record.messages if m.role == "assistant"]
            assert answers == [m for m in DATA[index].record.messages if m.role == "assistant"]
            assert change.conversation.where == DATA[index].where
    assert [one.record.model_dump() for one in DATA] == before


def test_turns_before_a_medium_are_no_turns_of_its_control() -> None:
    controls = controls_of(DATA)
    assert controls["image exchanged"].changed[2].turns == {1, 2}
    assert controls["audio left out"].changed[2].turns == {2}
    assert controls["all exchanged"].changed[2].turns <= {1, 2}


def test_the_same_content_is_not_exchanged_for_itself() -> None:
    """Half of the conversations show the same picture; none of them gets it from another one."""
    data = [
        conversation(str(i), (f"image:{'same' if i % 2 else i}.png", "What is it?"))
        for i in range(40)
    ]
    for index, found in uris(controls_of(data)["image exchanged"], "image"):
        assert found != [data[index].record.media[0].uri]


def test_content_is_what_a_caller_says() -> None:
    data = [conversation(str(i), (f"image:{i}.png", "What is it?")) for i in range(6)]
    control = controls_of(data, content=lambda one, medium: int(medium.uri[0]) // 2)[
        "image exchanged"
    ]
    for index, (found,) in uris(control, "image"):
        assert int(found[0]) // 2 != index // 2


def test_a_pool_of_pictures_is_exchanged_within_itself() -> None:
    data = [
        conversation(
            str(i), *((f"image:{i * 7 % 20}.png", f"image:{(i * 3 + 1) % 20}.png", "Which?"),)
        )
        for i in range(60)
    ]
    control = controls_of(data)["image exchanged"]
    assert len(control.changed) == 60
    for index, found in uris(control, "image"):
        assert not set(found) & {m.uri for m in data[index].record.media}


def test_media_are_exchanged_within_a_task_and_a_language() -> None:
    data = [
        conversation(
            f"{task}{lang}{i}", (f"image:{task}{lang}{i}.png", "What?"), tags=(task,), lang=lang
        )
        for i in range(4)
        for task in ("hue", "count")
        for lang in ("en", "ms")
    ]
    for index, (found,) in uris(controls_of(data)["image exchanged"], "image"):
        assert found[:-5] == data[index].record.media[0].uri[:-5]


def test_a_task_with_a_single_conversation_takes_media_of_others() -> None:
    data = [conversation(str(i), (f"image:{i}.png", "What?"), tags=("hue",)) for i in range(3)]
    data.append(conversation("alone", ("image:x.png", "image:y.png", "How many?"), tags=("count",)))
    found = dict(uris(controls_of(data)["image exchanged"], "image"))
    assert len(set(found[3])) == 2 and set(found[3]) <= {"0.png", "1.png", "2.png"}


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        ([conversation("a", ("image:1.png", "What?"))], [0]),
        (
            [
                conversation("a", ("image:1.png", "What?")),
                conversation("b", ("image:1.png", "Which?")),
            ],
            [0, 1],
        ),
        (
            [
                conversation("a", ("image:1.png", "image:2.png", "What?")),
                conversation("b", ("image:3.png", "Which?")),
            ],
            [0],
        ),
        (
            [
                conversation("a", ("image:1.png", "What?")),
                conversation("b", ("image:2.png", "?"), root="elsewhere"),
            ],
            [0, 1],
        ),
    ],
)
def test_too_few_media_are_told(data: list[Conversation], refused: list[int]) -> None:
    control = controls_of(data)["image exchanged"]
    assert list(control.refused) == refused and not set(control.changed) & set(refused)
    assert len(control.changed) == len(data) - len(refused)
    assert "too few different media of kind 'image'" in control.refused[refused[0]]
    assert set(refused) <= set(controls_of(data)["all exchanged"].refused)


def test_media_that_are_left_out_leave_valid_records() -> None:
    controls = controls_of(DATA)
    left = controls["image left out"].changed[5].conversation.record
    assert [m.uri for m in left.media] == ["4.wav"]
    assert [(p.type, p.media, p.text) for p in left.messages[0].content] == [
        ("audio", 0, None),
        ("text", None, "Do they match?"),
    ]


def test_a_turn_of_media_alone_is_refused() -> None:
    data = [
        conversation("a", ("image:1.png", "What?"), ("audio:1.wav", "")),
        conversation("b", ("audio:2.wav", " ")),
    ]
    control = controls_of(data)["audio left out"]
    assert not control.changed
    assert (
        control.refused[0] == "message 2 would be empty, as it is audio alone"
        and 1 in control.refused
    )
    assert list(controls_of(data)["image left out"].changed) == [0]


def test_questions_are_exchanged_at_the_same_turn() -> None:
    data = [
        conversation(str(i), (f"image:{i}.png", f"First of {i}?"), f"Second of {i}?")
        for i in range(5)
    ]
    found = asked(controls_of(data)["question exchanged"])
    for index, (first, second) in found.items():
        assert first.startswith("First") and second.startswith("Second")
        assert str(index) not in first + second
    assert len({first for first, _ in found.values()}) == 5


def test_questions_are_about_as_many_media() -> None:
    data = [
        *(conversation(f"one{i}", (f"image:{i}.png", f"What is image 1, {i}?")) for i in range(3)),
        *(
            conversation(f"two{i}", (f"image:a{i}.png", f"image:b{i}.png", f"And image 2, {i}?"))
            for i in range(3)
        ),
    ]
    for index, (text,) in asked(controls_of(data)["question exchanged"]).items():
        assert ("image 2" in text) == (index > 2)


def test_media_stay_where_they_are_when_questions_are_exchanged() -> None:
    parts = [
        {"type": "text", "text": "In"},
        {"type": "image", "media": 0},
        {"type": "text", "text": "what is red?"},
    ]
    messages = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
    ]
    record = Record.model_validate(
        {"id": "x", "messages": messages, "media": [{"kind": "image", "uri": "x.png"}]}
    )
    data = [
        Conversation(record, Path(), "rows.jsonl:1"),
        conversation("y", ("image:y.png", "Which is blue?")),
    ]
    changed = controls_of(data)["question exchanged"].changed[0].conversation.record
    assert [(p.type, p.text) for p in changed.messages[0].content] == [
        ("text", "Which is blue?"),
        ("image", None),
    ]


@pytest.mark.parametrize(
    ("data", "changed", "reason"),
    [
        (
            [conversation("a", "Why?"), conversation("b", "why?")],
            [],
            "asks anything else in turn 0",
        ),
        (
            [conversation("a", "Why?", "How?"), conversation("b", "When?")],
            [0, 1],
            "asks anything else in turn 1",
        ),
        (
            [conversation("a", "Why?", lang="en"), conversation("b", "Kenapa?", lang="ms")],
            [],
            "of its language",
        ),
    ],
)
def test_questions_that_nobody_else_asks_are_told(
    data: list[Conversation], changed: list[int], reason: str
) -> None:
    control = controls_of(data)["question exchanged"]
    assert list(control.changed) == changed and reason in control.refused[0]
    assert all(change.turns == {0} for change in control.changed.values())


def test_everything_is_exchanged_at_once() -> None:
    data = [
        conversation(str(i), (f"image:{i}.png", f"audio:{i}.wav", f"What of {i}?"))
        for i in range(5)
    ]
    control = controls_of(data)["all exchanged"]
    texts = asked(control)
    for index, change in control.changed.items():
        image, audio = (m.uri[0] for m in change.conversation.record.media)
        assert str(index) not in (image, audio, texts[index][0][-2])
        assert image != texts[index][0][-2], "the question is not that of the medium"


def test_exchanges_are_the_same_each_time_and_others_with_another_seed() -> None:
    data = [conversation(str(i), (f"image:{i}.png", f"What of {i}?")) for i in range(9)]
    assert controls_of(data, 3) == controls_of(data, 3) != controls_of(data, 4)


@pytest.mark.parametrize("different", [1, 2, 5000])
def test_thousands_of_conversations_take_seconds(different: int) -> None:
    """Also if nearly all of them show the same picture."""
    rare = 100 if different == 2 else 1
    data = [
        conversation(str(i), (f"image:{i % different if i % rare == 0 else 1}.png", "What?"))
        for i in range(5000)
    ]
    start = time.perf_counter()
    controls = controls_of(data)
    assert time.perf_counter() - start < 5
    assert len(controls["image exchanged"].changed) == (0 if different == 1 else 5000)
