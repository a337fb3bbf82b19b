"""Rows of others' data sets, as they are published: captions, transcripts, questions, pairs."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from foreign_rows import read, refuses, shown
from mmmodal.contracts.format import Place
from mmmodal.errors import RecordError
from mmmodal.media import Limits
from mmmodal.records.detection import find_format, read_row
from mmmodal.records.tar_rows import TarRows

DESCRIBE, SAID = "Describe the image.", "What is said?"
HUMAN, GPT = {"role": "user", "content": "What?"}, {"role": "assistant", "content": "Dog."}
PARTS = [{"type": "image"}, {"type": "text", "text": "What?"}]
ASKED = [("user", "{a.png}What?"), ("assistant", "Dog.")]


@pytest.mark.parametrize(
    ("name", "row", "turns", "meta"),
    [
        (
            "captions",
            {"image": "a.png", "text": "A dog."},
            [("user", "{a.png}" + DESCRIBE), ("assistant", "A dog.")],
            None,
        ),
        (
            "captions",
            {"images": ["a.png"], "caption": "A dog."},
            [("user", "{a.png}" + DESCRIBE), ("assistant", "A dog.")],
            None,
        ),
        (
            "captions",
            {"file_name": "0001.png", "text": "A dog."},
            [("user", "{0001.png}" + DESCRIBE), ("assistant", "A dog.")],
            None,
        ),
        (
            "captions",
            {"image": "a.png", "caption": "Anjing.", "lang": "ms"},
            [("user", "{a.png}Terangkan gambar ini."), ("assistant", "Anjing.")],
            None,
        ),
        (
            "captions",
            {"audio": "a.wav", "caption": "Barking."},
            [("user", "{a.wav}Describe the audio."), ("assistant", "Barking.")],
            None,
        ),
        (
            "captions",
            {"image": "a.png", "caption": "A dog.", "url": "https://x.org/9.jpg", "width": 3},
            [("user", "{a.png}" + DESCRIBE), ("assistant", "A dog.")],
            {"url": "https://x.org/9.jpg", "width": 3},
        ),
        (
            "transcripts",
            {
                "audio": "clips/1.mp3",
                "path": "1.mp3",
                "sentence": "Hai.",
                "locale": "ms",
                "up_votes": 2,
                "client_id": "x",
            },
            [("user", "{clips/1.mp3}Apa yang dikatakan?"), ("assistant", "Hai.")],
            {"path": "1.mp3", "up_votes": 2, "client_id": "x"},
        ),
        (
            "transcripts",
            {
                "id": 7,
                "num_samples": 9,
                "path": "1.wav",
                "audio": "1.wav",
                "transcription": "hello",
                "raw_transcription": "Hello!",
                "lang_id": 3,
            },
            [("user", "{1.wav}" + SAID), ("assistant", "hello")],
            {"num_samples": 9, "path": "1.wav", "raw_transcription": "Hello!", "lang_id": 3},
        ),
        (
            "transcripts",
            {"file": "/x/1.flac", "audio": "1.flac", "text": "HELLO", "speaker_id": 1},
            [("user", "{1.flac}" + SAID), ("assistant", "HELLO")],
            {"file": "/x/1.flac", "speaker_id": 1},
        ),
        (
            "transcripts",
            {"file_name": "1.wav", "transcription": "hello"},
            [("user", "{1.wav}" + SAID), ("assistant", "hello")],
            None,
        ),
        (
            "transcripts",
            {"client_id": "x", "path": "1.mp3", "sentence": "Hai.", "locale": "ms"},
            [("user", "{1.mp3}Apa yang dikatakan?"), ("assistant", "Hai.")],
            {"client_id": "x"},
        ),
        (
            "transcripts",
            {"audio_filepath": "/x/1", "duration": 1.5, "text": "hello"},
            [("user", "{/x/1}" + SAID), ("assistant", "hello")],
            {"duration": 1.5},
        ),
        (
            "transcripts",
            {"file_name": "1.wav", "text": "hello"},
            [("user", "{1.wav}" + SAID), ("assistant", "hello")],
            None,
        ),
        (
            "captions",
            {"file_names": ["1.png", "2.png"], "text": "Dogs."},
            [("user", "{1.png}{2.png}" + DESCRIBE), ("assistant", "Dogs.")],
            None,
        ),
        (
            "captions",
            {"image_file_name": "1", "caption": "A dog.", "path": "1"},
            [("user", "{1}" + DESCRIBE), ("assistant", "A dog.")],
            {"path": "1"},
        ),
        ("vqa", {"image": "a.png", "question": "What?", "answer": "Dog."}, ASKED, None),
        ("vqa", {"image_path": "a.png", "question": "What?", "answer": "Dog."}, ASKED, None),
        (
            "vqa",
            {"image": "a.png", "question": "What?", "answers": ["Cat.", "Dog.", "Dog."]},
            ASKED,
            {"answers": ["Cat.", "Dog.", "Dog."]},
        ),
        (
            "vqa",
            {
                "image": "a.png",
                "question": "What?",
                "multiple_choice_answer": "Dog.",
                "answers": [{"answer": "Cat.", "answer_id": 1}],
            },
            ASKED,
            {"answers": [{"answer": "Cat.", "answer_id": 1}]},
        ),
        ("vqa", {"image": "a.png", "question": "<image>What?", "answer": "Dog."}, ASKED, None),
        (
            "vqa",
            {"question": "How many?", "answer": 3},
            [("user", "How many?"), ("assistant", "3")],
            None,
        ),
        (
            "vqa",
            {
                "image": "a.png",
                "question": "What?",
                "choices": ["cat", "dog"],
                "answer": 1,
                "subject": "zoo",
            },
            [
                ("user", "{a.png}What?\nA. cat\nB. dog\nAnswer with the letter of your choice."),
                ("assistant", "B"),
            ],
            {"subject": "zoo"},
        ),
        (
            "vqa",
            {
                "image": "a.png",
                "question": "Apa?",
                "options": ["kucing", "anjing"],
                "answer": "kucing",
                "lang": "ms",
            },
            [
                ("user", "{a.png}Apa?\nA. kucing\nB. anjing\nJawab dengan huruf pilihan anda."),
                ("assistant", "A"),
            ],
            None,
        ),
        ("query", {"query": "What?", "response": "Dog.", "images": ["a.png"]}, ASKED, None),
        ("query", {"query": "<image>What?", "response": "Dog.", "images": ["a.png"]}, ASKED, None),
        (
            "query",
            {
                "query": "And <image>?",
                "response": "Dog.",
                "history": [["<image>Who?", "Ali."]],
                "images": ["a.png", "b.png"],
                "system": "Be brief.",
            },
            [
                ("system", "Be brief."),
                ("user", "{a.png}Who?"),
                ("assistant", "Ali."),
                ("user", "And {b.png}?"),
                ("assistant", "Dog."),
            ],
            None,
        ),
        (
            "query",
            {
                "query": "What?",
                "response": "Dog.",
                "images": ["a.png", "b.png"],
                "audios": ["c.wav"],
            },
            [("user", "{a.png}{b.png}{c.wav}What?"), ("assistant", "Dog.")],
            None,
        ),
        (
            "alpaca",
            {"instruction": "What?", "input": "", "output": "Dog.", "images": ["a.png"]},
            ASKED,
            None,
        ),
        (
            "alpaca",
            {"instruction": "Look.", "input": "What?", "output": "Dog.", "image": "a.png"},
            [("user", "{a.png}Look.\nWhat?"), ("assistant", "Dog.")],
            None,
        ),
        ("completion", {"prompt": "What?", "completion": "Dog.", "images": ["a.png"]}, ASKED, None),
        ("completion", {"prompt": [HUMAN], "completion": [GPT], "images": ["a.png"]}, ASKED, None),
        (
            "completion",
            {
                "prompt": [{"role": "user", "content": PARTS}],
                "completion": [
                    {"role": "assistant", "content": [{"type": "text", "text": "Dog."}]}
                ],
                "image": "a.png",
            },
            ASKED,
            None,
        ),
        (
            "openai",
            {"messages": [HUMAN, GPT | {"weight": 1}]},
            [("user", "What?"), ("assistant", "Dog.")],
            None,
        ),
    ],
)
def test_a_published_row_is_found_and_read(
    name: str, row: dict[str, Any], turns: list[tuple[str, str]], meta: dict[str, Any] | None
) -> None:
    found, (record,) = read_row(row, Place("f.jsonl:3", "f-3"))

    assert found.name == name
    assert shown(record) == turns
    assert record.meta == meta


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"image": "a.png", "text": "x", "caption": "y"},
            r"its text may be 'caption' or 'text'; choose",
        ),
        ({"image": "a.png", "text": " "}, r"no text under"),
        ({"image": "a.png", "caption": ["a", ""]}, r"'caption' must be a text, or a list of texts"),
        ({"image": "a.png", "text": "x", "picture": "b.png"}, r"'picture' names a medium"),
        ({"image": "a.png", "text": "x", "path": "b.png"}, r"'path' names a medium \('b.png'\)"),
        ({"image": "a.png", "text": "x", "file_name": "b.png"}, r"'file_name' names a medium"),
        ({"file_name": "a.png", "text": "x", "path": "b.png"}, r"'path' names a medium"),
        ({"file_name": ["a.png", "b.wav"], "text": "x"}, r"no format has its keys"),
        ({"image": ["a.png", "b.png"], "text": "x", "path": "a.jpg"}, r"'path' names a medium"),
        ({"image": "a.png", "text": "x", "history": [["a", "b"]]}, r"no format has its keys"),
        ({"image": "", "text": "x"}, r"it has no medium to describe"),
        (
            {"audio": "a.wav", "caption": "x", "sentence": "y"},
            r"may be captions and transcripts; choose",
        ),
        ({"audio": ["a.wav", "b.wav"], "sentence": "y"}, r"must have one clip, but has 2"),
        ({"audio": "a.wav", "sentence": 3}, r"'sentence' must be a text"),
        ({"image": "a.png", "question": " ", "answer": "x"}, r"'question' must be a text"),
        ({"image": "a.png", "question": "x", "answer": {"a": 1}}, r"'answer' must be a text"),
        ({"image": "a.png", "question": "x", "answers": []}, r"'answers' must be a list of texts"),
        (
            {"question": "x", "answer": 2, "choices": ["a", "b"]},
            r"the answer 2 is none of the 2 choices",
        ),
        ({"question": "x", "answer": 0, "choices": ["a"]}, r"choices must be 2 to 26 texts"),
        (
            {"question": "<image>x", "answer": "a"},
            r"'images' lists 0 media, but the messages mark 1",
        ),
        (
            {"query": "<image>x", "response": "a", "images": ["a", "b"]},
            r"lists 2 media, but the messages mark 1",
        ),
        (
            {"query": "<audio>a.wav</audio>x", "response": "a", "audios": ["a.wav"]},
            r"holds the path of a medium",
        ),
        (
            {"query": "x", "response": "a", "history": ["b"]},
            r"'history.0' must be a question and its answer",
        ),
        ({"query": "x", "response": "a", "videos": ["a.mp4"]}, r"'videos.0' names a medium"),
        (
            {"query": "x", "response": "a", "rejected_response": "b"},
            r"'rejected_response' says what no",
        ),
        ({"query": "x", "response": "", "images": ["a"]}, r"turn 2 \(assistant\): it is empty"),
        (
            {"instruction": "x", "output": "y", "answer": "z"},
            r"may be alpaca and paper; choose one with --format",
        ),
        (
            {"prompt": "x", "completion": "y", "label": False},
            r"'label' says whether the answer is good",
        ),
        (
            {"prompt": [HUMAN], "completion": 3},
            r"'completion' must be a text, or a list of messages",
        ),
        (
            {"messages": [HUMAN, GPT | {"weight": 0}]},
            r"'messages.1': 'weight' is 0, but every answer",
        ),
        (
            {"messages": [HUMAN, GPT | {"loss": False}]},
            r"'loss' is False, but every answer is learned",
        ),
    ],
)
def test_a_row_that_is_not_clear_is_refused(row: dict[str, Any], message: str) -> None:
    refuses(row, message)


def test_each_of_several_captions_is_a_record_of_one_group() -> None:
    records = read({"id": "7", "image": "a.png", "captions": ["One.", "Two."]})

    assert [(each.id, each.group) for each in records] == [("7-0", "7"), ("7-1", "7")]
    assert [shown(each)[1][1] for each in records] == ["One.", "Two."]


def test_wordings_are_drawn_by_seed_and_id() -> None:
    row = {"image": "a.png", "text": "A dog."}
    options = {"question": ["What is it?", "Describe it.", "Look."], "lang": "en"}

    def questions(seed: int) -> list[tuple[str, int]]:
        form = find_format("captions", {**options, "seed": seed})
        found = []
        for number in range(60):
            (record,) = read_row(row | {"id": str(number)}, Place("x", "x"), form)[1]
            assert record.lang == "en" and record.meta is not None
            found.append((shown(record)[0][1], record.meta["wording"]))
        return found

    assert questions(0) == questions(0) != questions(1)
    assert {text for text, _ in questions(0)} == {"{a.png}" + text for text in options["question"]}
    assert all(text == "{a.png}" + options["question"][index] for text, index in questions(0))


def test_the_first_answer_is_learned_where_the_user_says_so() -> None:
    row = {"image": "a.png", "question": "What?", "answers": ["Dog.", "Cat.", "Cat."]}

    _, (record,) = read_row(row, Place("x", "x"), find_format("vqa", {"answers": "first"}))

    assert shown(record) == ASKED


# WebDataset

NATIVE = {
    "id": "1.a",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "audio", "media": 1},
                {"type": "image", "media": 0},
                {"type": "text", "text": "What?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Dog."}]},
    ],
    "media": [{"kind": "image", "uri": "1_a.0.png"}, {"kind": "audio", "uri": "1_a.1.wav"}],
    "meta": {"from": "1_a.0.png"},
}
TURNS = [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "Dog."}]


def tar_row(path: Path, files: dict[str, Any]) -> dict[str, Any]:
    """Return the only row of a shard with some files."""
    with tarfile.open(path / "a.tar", "w") as tar:
        for name, value in files.items():
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (row,) = TarRows(path / "a.tar")
    return row.read()


@pytest.mark.parametrize(
    ("files", "turns", "data"),
    [
        (
            {"1_a.json": NATIVE, "1_a.0.png": b"P", "1_a.1.wav": b"W"},
            ["audio", "image", "What?", "Dog."],
            [b"P", b"W"],
        ),
        ({"x/7.jpg": b"J", "x/7.txt": b"A dog."}, ["image", DESCRIBE, "A dog."], [b"J"]),
        (
            {
                "7.jpg": b"J",
                "7.txt": b"A dog.",
                "7.json": {"caption": "A dog.", "url": "https://x.org/b.png", "width": 3},
            },
            ["image", DESCRIBE, "A dog."],
            [b"J"],
        ),
        ({"7.flac": b"F", "7.txt": b"Hello."}, ["audio", SAID, "Hello."], [b"F"]),
        ({"7.wav": b"F", "7.json": {"text": "Hello."}}, ["audio", SAID, "Hello."], [b"F"]),
        (
            {"7.jpg": b"J", "7.json": {"image": "7.jpg", "conversations": TURNS}},
            ["image", "What?", "Dog."],
            [b"J"],
        ),
        ({"7.jpg": b"J", "7.json": {"conversations": TURNS}}, ["image", "What?", "Dog."], [b"J"]),
    ],
)
def test_a_row_of_a_shard_is_read_with_its_files(
    tmp_path: Path, files: dict[str, Any], turns: list[str], data: list[bytes]
) -> None:
    found, (record,) = read_row(tar_row(tmp_path, files), Place("a.tar:1", "a-1"))

    assert found.name == "webdataset"
    parts = [part for message in record.messages for part in message.content]
    assert [part.text or part.type for part in parts] == turns
    assert [ref.held.read_bytes(Limits()) for ref in record.media if ref.held] == data
    assert len(record.media) == len(data)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"7.json": {"conversations": TURNS, "image": "7.jpg"}, "7.jpg": b"J", "7.wav": b"W"},
            r"its file 7.wav is in no message",
        ),
        ({"7.txt": b"x", "7.npy": b"N"}, r"no installed plugin reads files that end in .npy"),
        ({"7.json": [1], "7.jpg": b"J"}, r"its file 7.json must hold an object"),
        ({"7.jpg": b"J", "7.cls": b"3"}, r"no format has its keys"),
        (
            {"7.jpg": b"J", "7.txt": b"x", "7.json": {"caption": "y"}},
            r"its text may be 'caption' or",
        ),
    ],
)
def test_a_row_of_a_shard_with_files_in_no_message_is_refused(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        read_row(tar_row(tmp_path, files), Place("a.tar:1", "a-1"))


def test_the_line_end_of_a_text_in_a_shard_is_no_part_of_it(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in {"1.wav": b"x", "1.txt": b"one\ntwo\r\n"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

    (row,) = TarRows(tmp_path / "a.tar")

    assert row.read()["txt"] == "one\ntwo"
