"""What is read, written and read again is the same record, in every format and kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from foreign_rows import read
from media_files import encode_sound
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.media.limits import Limits
from mmmodal.media.source import find_source
from mmmodal.records.dataset import read_records
from mmmodal.records.detection import find_format, formats
from mmmodal.records.inline import order_of_media
from mmmodal.records.writing import write_records
from worlds import picture, read_lines, record, write_lines

WRITTEN = sorted(name for name, each in formats().items() if each.written)
READ_ONLY = sorted({*formats()} - {*WRITTEN})
TABLES = {"native", "ms-swift", "llama-factory", "trl"}

OUT = [
    ("a.jsonl", "keep"),
    ("a.jsonl", "embed"),
    ("a.jsonl", "files"),
    ("a.parquet", "keep"),
    ("a.parquet", "embed"),
    ("a.parquet", "files"),
    ("a.tar", "embed"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures and sounds."""
    root = tmp_path_factory.mktemp("media")
    for number in range(3):
        picture(number).save(root / f"{number}.png")
        sound = encode_sound(np.full(800, number / 10), "WAV", "PCM_16")
        (root / f"{number}.wav").write_bytes(sound)
    return root


def records() -> list[Record]:
    """Return records of what all formats can say."""
    image, audio = ("image", "0.png"), ("audio", "0.wav")
    several = (("audio", "1.wav"), ("image", "1.png"), ("image", "2.png"))
    first = record("r1", image, audio, asked=" Which? ", lang="en", answer="Both.\n")
    second = record("", image, audio, *several, asked="Apa?")
    second["messages"][0]["content"] = second["messages"][0]["content"][2:]
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    first["messages"] = [system, *first["messages"], *second["messages"]]
    first["media"] = second["media"]
    rows = [
        first,
        record("r2", *several, asked="Apa?"),
        record("r3", asked="Hai?", group="g", meta={"source": "x", "n": 0.5, "m": [{"n": 1}]}),
        record("r4", audio, audio, meta={"source": "y", "m": [{"n": 2}, {"n": 3}]}),
    ]
    return [Record.model_validate(row) for row in rows]


def content(records: list[Record], root: Path) -> list[Any]:
    """Return records with the bytes of their media, in the order of their messages."""
    return [
        each.model_dump(exclude={"media"})
        | {
            "media": [
                find_source(each.media[index].address, root=root, limits=Limits()).read_bytes(
                    Limits()
                )
                for index in order_of_media(each)
            ]
        }
        for each in records
    ]


def read_file(path: Path) -> list[Record]:
    return [each for _, each in read_records(path)]


def can_hold(name: str, to: str) -> bool:
    """Return whether a kind of file holds rows of a format."""
    holders = {".jsonl": {*WRITTEN}, ".parquet": TABLES, ".tar": {"native"}}
    return to in holders[Path(name).suffix]


@pytest.mark.parametrize(("name", "media"), OUT)
@pytest.mark.parametrize("to", WRITTEN)
def test_records_come_back_from_every_format_and_file(
    folder: Path, tmp_path: Path, to: str, name: str, media: Any
) -> None:
    given = records()
    out = (folder if media == "keep" else tmp_path) / f"{to}-{name}"
    if not can_hold(name, to):
        with pytest.raises(ConfigError, match=rf"{to}.*\.jsonl|cannot hold rows of {to}"):
            write_records(given, out, to=to, media=media, root=folder)
        assert not out.exists()
        return

    assert write_records(given, out, to=to, media=media, root=folder) == 4
    once = read_file(out)
    assert content(once, out.parent) == content(given, folder)
    again = folder / f"again-{to}-{name}"
    inside = "keep" if media == "keep" else "embed"
    write_records(once, again, to=to, media=inside, root=out.parent)
    assert content(read_file(again), again.parent) == content(given, folder)


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "tar"])
@pytest.mark.parametrize("name", READ_ONLY)
def test_a_format_that_is_only_read_says_so(tmp_path: Path, name: str, ending: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}' are read, but not written; write .*trl"):
        write_records([], tmp_path / f"a.{ending}", to=name)


@pytest.mark.parametrize("name", sorted({*READ_ONLY} - {"columns"}))
def test_a_row_of_a_format_that_is_only_read_is_not_written(name: str) -> None:
    with pytest.raises(RecordError, match=f"rows of the format '{name}' are read, but not written"):
        find_format(name).write(records()[:1], "f.jsonl:3")


ASKED = "<image>What <audio>?"
SWIFT = {
    "messages": [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": "Dog."},
    ],
    "images": ["0.png"],
    "audios": ["0.wav"],
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "ms-swift": SWIFT,
    "llama-factory": {
        "conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": "Dog."}],
        "images": ["0.png"],
        "audios": ["0.wav"],
    },
    "trl": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image"},
                    {"type": "text", "text": "What "},
                    {"type": "audio"},
                    {"type": "text", "text": "?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Dog."}]},
        ],
        "images": ["0.png"],
        "audios": ["0.wav"],
    },
}
"""The same conversation as each trainer has it."""


@pytest.mark.parametrize("to", PUBLISHED)
@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_of_a_trainer_become_those_of_another(folder: Path, name: str, to: str) -> None:
    source = write_lines(folder / f"from-{name}.jsonl", [PUBLISHED[name] | {"id": "1"}])
    out = folder / f"{name}-to-{to}.jsonl"

    write_records(read_file(source), out, to=to)

    assert read_lines(out) == [PUBLISHED[to] | {"id": "1"}]


@pytest.mark.parametrize("to", PUBLISHED)
def test_datasets_shows_the_rows_of_trainers_with_pictures_and_players(
    folder: Path, tmp_path: Path, to: str
) -> None:
    path = tmp_path / "a.parquet"
    write_records(records(), path, to=to, media="embed", root=folder)

    found = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )

    assert found.features["images"] == datasets.List(datasets.Image())
    assert found.features["audios"] == datasets.List(datasets.Audio())
    rows = found.remove_columns("audios")
    assert [len(row["images"]) for row in rows] == [3, 2, 0, 0]
    shown = [np.asarray(each) for each in rows[0]["images"]]
    assert [(each == np.asarray(picture(n))).all() for n, each in enumerate(shown)] == [True] * 3
    turns = rows[1]["conversations" if to == "llama-factory" else "messages"]
    expected: dict[str, list[dict[str, Any]]] = {
        "ms-swift": [
            {"role": "user", "content": "<audio><image><image>Apa?"},
            {"role": "assistant", "content": "ok"},
        ],
        "llama-factory": [
            {"from": "human", "value": "<audio><image><image>Apa?"},
            {"from": "gpt", "value": "ok"},
        ],
        "trl": [
            {
                "role": "user",
                "content": [
                    *({"type": kind, "text": None} for kind in ("audio", "image", "image")),
                    {"type": "text", "text": "Apa?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "ok"}]},
        ],
    }
    assert turns == expected[to]


@pytest.mark.parametrize(
    ("metas", "message"),
    [
        ([{"a": 1}, {"a": "x"}], r"record 'r0': 'a' of this and other records has values of sev"),
        ([{"a": {"b": 1}}, {"a": {"c": 1}}], r"record 'r0': 'a' is of another type"),
        ([{"a": 1}] * 1000 + [{"a": "x"}], r"record 'r1000': 'a' is of another type than in the"),
        ([{"a": 1}] * 1000 + [{"b": 1}], r"record 'r1000': 'b' is no column, as none of the firs"),
    ],
)
@pytest.mark.parametrize("media", ["keep", "embed"])
def test_meta_that_a_table_would_change_is_refused(
    tmp_path: Path, metas: list[dict[str, Any]], message: str, media: Any
) -> None:
    rows = [
        Record.model_validate(record(f"r{number}", asked="?", meta=meta))
        for number, meta in enumerate(metas)
    ]

    with pytest.raises(RecordError, match=rf"{message}.*; write .jsonl, or native rows"):
        write_records(rows, tmp_path / "a.parquet", to="ms-swift", media=media)

    assert not (tmp_path / "a.parquet").exists()
    write_records(rows, tmp_path / "a.parquet", media=media)
    assert [each.meta for each in read_file(tmp_path / "a.parquet")] == metas


@pytest.mark.parametrize("to", sorted(TABLES - {"native"}))
def test_a_marker_that_is_text_is_never_read_as_a_medium(tmp_path: Path, to: str) -> None:
    said = Record.model_validate(record("r", asked="what is <audio> in HTML?"))

    with pytest.raises(RecordError, match="a text contains a marker"):
        write_records([said], tmp_path / "a.parquet", to=to, media="embed")


def test_a_typed_marker_stays_text_beside_parts_with_media(folder: Path, tmp_path: Path) -> None:
    said = Record.model_validate(record("r", ("image", "0.png"), asked="<image> is a tag"))

    write_records([said], tmp_path / "a.parquet", to="trl", media="embed", root=folder)

    assert content(read_file(tmp_path / "a.parquet"), tmp_path) == content([said], folder)


def test_a_table_of_many_records_keeps_all_of_them(tmp_path: Path) -> None:
    rows = [
        Record.model_validate(record(f"r{n}", asked="?", meta={"n": n, "t": "x" * (n % 7)}))
        for n in range(2_300)
    ]

    assert write_records(rows, tmp_path / "a.parquet", to="trl") == 2_300

    assert read_file(tmp_path / "a.parquet") == rows


def test_rows_of_all_formats_hold_the_id(folder: Path) -> None:
    (said, *_) = records()
    for name in WRITTEN:
        row = find_format(name).write([said], "x")
        assert row["id"] == "r1"
        assert [each.id for each in read(json.loads(json.dumps(row)))] == ["r1"]
