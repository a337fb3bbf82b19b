"""Rows in the layouts of published benchmarks become records that say how they are scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmmodal.authoring.media import Limits
from mmmodal.authoring.parts import RecordError
from mmmodal.authoring.records import (
    Expectation,
    MediaRef,
    Place,
    Record,
    find_format,
    formats,
    read_records,
    read_row,
    write_records,
)
from mmmodal_eval.cases import Conversation, cases_of
from mmmodal_eval.parts import scorer

LETTER = "Answer with the letter of your choice."

OMNIBENCH = {
    "task type": "Action and Activity",
    "audio type": "speech",
    "question": "What are the men doing?",
    "audio content": "A: Four letters. B: Ring!",
    "image content": "Two men sit on a couch; a photo of a dog.jpg hangs there.",
    "audio_path": "2_009.mp3",
    "image_path": "2_009.png",
    "index": 0,
    "answer": "They do a puzzle.",
    "options": ["They read.", "They do a puzzle.", "They sleep.", "They cook."],
}
MMDU = {
    "id": "mmdu-1",
    "image": ["pics/1.jpg", "pics/2.jpg", "pics/3.jpg"],
    "conversations": [
        {"from": "user", "value": "Image1: <ImageHere>.Image2: <ImageHere>.Compare them."},
        {"from": "assistant", "value": "The first is larger."},
        {"from": "user", "value": "And this? <ImageHere>"},
        {"from": "assistant", "value": "Smaller."},
    ],
}
BLINK = {
    "idx": "val_Counting_1",
    "question": "How many dogs are there?",
    "sub_task": "Counting",
    "image_1": "1.jpg",
    "image_2": "2.jpg",
    "image_3": None,
    "image_4": None,
    "choices": ["0", "3", "2", "1"],
    "answer": "(C)",
    "prompt": "How many dogs are there?\nSelect from the following choices.\n(A) 0\n(B) 3\n(C) 2\n(D) 1",
    "explanation": None,
}
MUIRBENCH = {
    "idx": "12",
    "task": "Counting",
    "image_relation": "Ordered_Pages",
    "image_type": "Slides",
    "question": "How many chairs are in <image> and <image>?",
    "options": ["2", "3", "None of the choices provided"],
    "answer": "B",
    "image_list": ["1.jpg", "2.jpg"],
    "counterpart_idx": "13",
}
RETRIEVAL = MUIRBENCH | {
    "idx": "700",
    "counterpart_idx": None,
    "question": "Which picture is the same as <image>?",
    "options": ["<image>", "<image>", "None of the choices provided"],
    "image_list": ["q.jpg", "a.jpg", "b.jpg"],
}
AUDIOBENCH = {
    "context": {"path": "1.wav"},
    "instruction": "Where do they speak?",
    "answer": "In a shop.",
    "other_attributes": {"task": "SQA"},
}
OLDER = {
    "context": {"text": None, "audio": "1.wav"},
    "instruction": {"text": "Where do they speak?", "audio": None},
    "answer": {"text": "In a shop.", "audio": None},
}
CHOOSING = AUDIOBENCH | {
    "choices": "(A) At home. (B) In a shop. (C) Outside.",
    "answer": "(B) In a shop.",
}
MMAU = {
    "id": "3fe64f3d",
    "audio_id": "./test-mini-audios/3fe64f3d.wav",
    "question": "Who speaks?",
    "choices": ["Man", "Woman"],
    "answer": "Man",
    "dataset": "AudioSet",
    "task": "sound",
    "split": "test-mini",
    "category": "Reasoning",
    "sub-category": "Acoustic Source Inference",
    "difficulty": "medium",
}
VOTES = [
    {"answer": text, "answer_confidence": "yes", "answer_id": number}
    for number, text in enumerate(["net", "net", "netting", "net", "net"], start=1)
]
VQA = {
    "question_id": 262148000,
    "image_id": 262148,
    "image": "a.jpg",
    "question": "What is it?",
    "question_type": "what is",
    "answer_type": "other",
    "multiple_choice_answer": "net",
    "answers": VOTES,
}


def choosing(references: list[str], choices: list[str], *tags: str) -> dict[str, Any]:
    return {"scorer": "choice", "references": references, "choices": choices, "tags": tags}


ROWS: dict[str, tuple[str, dict[str, Any], list[str], dict[str, Any]]] = {
    # the format, the row, its turns, and how the last answer is scored
    "omnibench": (
        "omnibench",
        OMNIBENCH,
        [
            "{mm_data/image/2_009.png}{mm_data/audio/2_009.mp3}What are the men doing?\nA. They read.\n"
            f"B. They do a puzzle.\nC. They sleep.\nD. They cook.\n{LETTER}",
            "B",
        ],
        choosing(
            ["They do a puzzle."],
            OMNIBENCH["options"],
            "task type: Action and Activity",
            "audio type: speech",
        ),
    ),
    "mmdu": (
        "mmdu",
        MMDU,
        [
            "Image1: {pics/1.jpg}.Image2: {pics/2.jpg}.Compare them.",
            "The first is larger.",
            "And this? {pics/3.jpg}",
            "Smaller.",
        ],
        {},
    ),
    "blink": (
        "blink",
        BLINK,
        [f"{{1.jpg}}{{2.jpg}}How many dogs are there?\nA. 0\nB. 3\nC. 2\nD. 1\n{LETTER}", "C"],
        choosing(["2"], ["0", "3", "2", "1"], "sub_task: Counting"),
    ),
    "muirbench": (
        "muirbench",
        MUIRBENCH,
        [
            "How many chairs are in {1.jpg} and {2.jpg}?\nA. 2\nB. 3\nC. None of the choices provided\n"
            + LETTER,
            "B",
        ],
        choosing(
            ["3"],
            MUIRBENCH["options"],
            "task: Counting",
            "image_relation: Ordered_Pages",
            "image_type: Slides",
        ),
    ),
    "pictures to choose from": (
        "muirbench",
        RETRIEVAL,
        [
            "Which picture is the same as {q.jpg}?\nA. {a.jpg}\nB. {b.jpg}\n"
            f"C. None of the choices provided\n{LETTER}",
            "B",
        ],
        choosing(
            ["B"],
            ["image 2", "image 3", "None of the choices provided"],
            "task: Counting",
            "image_relation: Ordered_Pages",
            "image_type: Slides",
        ),
    ),
    "audiobench": ("audiobench", AUDIOBENCH, ["{1.wav}Where do they speak?", "In a shop."], {}),
    "audiobench, older": ("audiobench", OLDER, ["{1.wav}Where do they speak?", "In a shop."], {}),
    "audiobench, recognition": (
        "audiobench",
        AUDIOBENCH | {"instruction": None},
        ["{1.wav}What is said?", "In a shop."],
        {},
    ),
    "audiobench, a spoken question": (
        "audiobench",
        OLDER | {"instruction": {"text": None, "audio": "q.wav"}},
        ["{1.wav}{q.wav}What is said?", "In a shop."],
        {},
    ),
    "audiobench, choices in a text": (
        "audiobench",
        CHOOSING,
        [f"{{1.wav}}Where do they speak?\nA. At home.\nB. In a shop.\nC. Outside.\n{LETTER}", "B"],
        choosing(["In a shop."], ["At home.", "In a shop.", "Outside."]),
    ),
    "audiobench, a list of choices": (
        "audiobench",
        CHOOSING | {"choices": ["Home", "Shop"], "answer": "Shop"},
        [f"{{1.wav}}Where do they speak?\nA. Home\nB. Shop\n{LETTER}", "B"],
        choosing(["Shop"], ["Home", "Shop"]),
    ),
    "mmau": (
        "mmau",
        MMAU,
        [
            f"{{./test-mini-audios/3fe64f3d.wav}}Who speaks?\nA. Man\nB. Woman\n{LETTER}",
            "A",
        ],
        choosing(
            ["Man"],
            ["Man", "Woman"],
            "task: sound",
            "category: Reasoning",
            "sub-category: Acoustic Source Inference",
            "difficulty: medium",
        ),
    ),
    "vqa-v2": (
        "vqa-v2",
        VQA,
        ["{a.jpg}What is it?", "net"],
        {
            "scorer": "consensus",
            "references": ["net", "net", "netting", "net", "net"],
            "tags": ["question_type: what is", "answer_type: other"],
        },
    ),
}


def shown(record: Record) -> list[str]:
    """Return what each turn says, with media in braces."""
    return [
        "".join(
            f"{{{record.media[part.media].uri}}}" if part.media is not None else part.text or ""
            for part in message.content
        )
        for message in record.messages
    ]


@pytest.mark.parametrize("name", ROWS)
def test_a_published_row_is_found_and_says_how_it_is_scored(name: str) -> None:
    format, row, turns, expect = ROWS[name]

    found, (record,) = read_row(row, Place("f.jsonl:3", "f-3"))

    assert found.name == format
    assert shown(record) == turns
    assert record.messages[-1].expect == Expectation.model_validate(expect)
    read_again = read_row(find_format("native").write([record], "x"), Place("x", "x"))[1]
    assert read_again == [record]


@pytest.mark.parametrize("name", ROWS)
def test_its_right_answer_is_right(name: str) -> None:
    _, (record,) = read_row(ROWS[name][1], Place("f.jsonl:3", "f-3"))

    for case in cases_of([Conversation(record, Path(), "f.jsonl:3")], "exact"):
        scoring = scorer(case.scorer, case.options)
        scoring.check(case.expected)
        said = record.messages[2 * case.turn + 1].text
        assert scoring.score(said, case.expected).counts == (1.0, 1.0)
        if case.scorer == "choice":
            ranked = scorer("choice-likelihood").ranked(case.expected)
            assert ranked == tuple("ABCDEFG"[: len(case.expected.choices)])


@pytest.mark.parametrize(
    ("row", "about"),
    [
        (OMNIBENCH, ("0", None)),
        (MMDU, ("mmdu-1", None)),
        (BLINK, ("val_Counting_1", None)),
        (MUIRBENCH, ("12", "12+13")),
        (MUIRBENCH | {"idx": "13", "counterpart_idx": "12"}, ("13", "12+13")),
        (RETRIEVAL, ("700", None)),
        (AUDIOBENCH, ("f-3", None)),
        (MMAU, ("3fe64f3d", None)),
        (VQA, ("262148000", "262148")),
        (VQA | {"id": "mine", "cluster": "own"}, ("mine", "own")),
    ],
)
def test_ids_and_clusters_are_those_of_the_benchmark(
    row: dict[str, Any], about: tuple[str, str | None]
) -> None:
    _, (record,) = read_row(row, Place("f.jsonl:3", "f-3"))

    assert (record.id, record.cluster) == about


def test_what_is_not_read_is_kept() -> None:
    _, (record,) = read_row(BLINK, Place("x", "x"))

    assert record.meta is not None
    assert record.meta["prompt"] == BLINK["prompt"] and record.meta["sub_task"] == "Counting"


def test_a_row_says_more_of_how_it_is_scored() -> None:
    _, (record,) = read_row(MMAU | {"expect": {"scorer": "exact"}}, Place("x", "x"))

    expect = record.messages[-1].expect
    assert expect is not None and expect.scorer == "exact" and expect.choices == ("Man", "Woman")
    assert "task: sound" in expect.tags


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (BLINK | {"answer": "hidden"}, "its answer is hidden.*use the split `val`"),
        (BLINK | {"answer": "(E)"}, r"the answer '\(E\)' is none of the 4 choices"),
        (OMNIBENCH | {"image_path": None}, "neither 'image' nor 'image_path'"),
        (OMNIBENCH | {"video_path": "a.mp4"}, "'video_path' names a medium"),
        (MUIRBENCH | {"image_list": ["1.jpg"]}, "lists 1 media, but the messages mark 2"),
        (MMDU | {"image": ["pics/1.jpg"]}, "lists 1 media, but the messages mark 3"),
        (CHOOSING | {"choices": "home or shop"}, r"'choices' must be a list, or a text such as"),
        (CHOOSING | {"answer": "(D) On the moon."}, "is none of the choices"),
        (MMAU | {"answer": ""}, "its answer is hidden"),
        (MMAU | {"audio_id": None}, "neither 'audio_id' nor 'audio'"),
        (VQA | {"image": None}, "named by 'image_id' alone.*--set image="),
    ],
)
def test_a_row_that_does_not_fit_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_row(row, Place("f.jsonl:3", "f-3"))


def test_a_template_names_the_picture_of_a_number() -> None:
    row = {key: value for key, value in VQA.items() if key != "image"}
    template = "val2014/COCO_val2014_{image_id:012d}.jpg"

    _, (record,) = read_row(row, Place("x", "x"), find_format("vqa-v2", {"image": template}))

    assert record.media[0].uri == "val2014/COCO_val2014_000000262148.jpg"
    for wrong in ("{no_such_key}.jpg", "{image_id:q}.jpg", "{"):
        with pytest.raises(RecordError, match="the template"):
            read_row(row, Place("x", "x"), find_format("vqa-v2", {"image": wrong}))


PLAIN = [
    ("vqa", {"image": "a.png", "question": "x", "answer": "y"}),
    ("vqa", {"image": "a.png", "question": "x", "choices": ["a", "b"], "answer": 0}),
    ("vqa", {"image": "a.png", "question": "x", "answers": ["y"], "question_id": 1}),
    ("paper", {"filename": "a.png", "instruction": "x", "answer": "y"}),
    ("llava", {"image": "a.png", "conversations": [{"from": "human", "value": "<image>x"}]}),
    ("captions", {"image": "a.png", "text": "x"}),
]


@pytest.mark.parametrize(("name", "row"), PLAIN)
def test_other_rows_are_read_as_before(name: str, row: dict[str, Any]) -> None:
    matching = [each for each in formats() if find_matches(each, row)]

    assert matching == [name]


def find_matches(name: str, row: dict[str, Any]) -> bool:
    return name != "columns" and find_format(name).found and find_format(name).matches(row)


def held(name: str) -> dict[str, Any]:
    return {"bytes": name.encode(), "path": name}


HELD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    # rows as they are on the Hub, and the columns of one medium each
    "omnibench": (
        {k: v for k, v in OMNIBENCH.items() if not k.endswith("_path")}
        | {"image": held("p.png"), "audio": held("a.mp3")},
        ("image", "audio"),
    ),
    "blink": (
        BLINK | {"image_1": held("1.jpg"), "image_2": held("2.jpg")},
        ("image_1", "image_2", "image_3", "image_4"),
    ),
    "muirbench": (MUIRBENCH | {"image_list": [held("1.jpg"), held("2.jpg")]}, ()),
    "audiobench": (AUDIOBENCH | {"context": held("1.wav")}, ("context",)),
    "audiobench, older": (OLDER | {"context": {"text": None, "audio": held("1.wav")}}, ()),
    "mmau": (
        {k: v for k, v in MMAU.items() if k != "audio_id"} | {"audio": held("m.wav")},
        ("audio",),
    ),
    "vqa-v2": (VQA | {"image": held("v.jpg")}, ("image",)),
}


@pytest.mark.parametrize("name", HELD)
def test_a_table_of_the_hub_holds_its_media(name: str, tmp_path: Path) -> None:
    row, columns = HELD[name]
    medium = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    inferred = pa.Table.from_pylist([row]).schema
    kinds = {field.name: medium if field.name in columns else field.type for field in inferred}
    table = pa.Table.from_pylist([row], pa.schema(kinds))
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")

    ((_, record),) = read_records(tmp_path / "rows.parquet")

    _, plain_row, turns, expect = ROWS[name]
    (plain,) = read_row(plain_row, Place("x", "x"))[1]
    assert record.messages[-1].expect == Expectation.model_validate(expect)
    assert [ref.kind for ref in record.media] == [ref.kind for ref in plain.media]
    contents = [content(ref) for ref in record.media]
    assert len(contents) == turns[0].count("{")
    assert all(each in repr(row) for each in contents)


def content(ref: MediaRef) -> str:
    assert ref.held is not None, "the table holds it"
    with ref.held.open(Limits()) as file:
        return file.read().decode()


def test_a_benchmark_is_converted_with_how_it_is_scored(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps(r) for r in (MMAU, BLINK, VQA, MUIRBENCH))
    )
    read = [record for _, record in read_records(tmp_path / "rows.jsonl")]

    write_records(read, tmp_path / "out.parquet")

    assert [record for _, record in read_records(tmp_path / "out.parquet")] == read
