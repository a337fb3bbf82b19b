"""Media inside tables that `datasets` wrote: found in every form, read only when they are used."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from datasets import Audio, Image, List, Value

from media_files import encode_sound
from mmmodal.contracts.record import MediaRef
from mmmodal.errors import MediaError, RecordError
from mmmodal.media.limits import Limits
from mmmodal.media.source import find_source
from mmmodal.records.checker import Checker
from mmmodal.records.dataset import RecordDataset, scan
from mmmodal.records.files import open_rows
from worlds import picture, write_lines

ROWS = 7


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures `0.png` … and sounds `0.wav` …, all different."""
    folder = tmp_path_factory.mktemp("media")
    for number in range(ROWS):
        picture(number).save(folder / f"{number}.png")
        sound = encode_sound(np.full(1600, number / 10), "WAV", "PCM_16")
        (folder / f"{number}.wav").write_bytes(sound)
    return folder


def inside(folder: Path, name: str) -> dict[str, Any]:
    return {"bytes": (folder / name).read_bytes(), "path": name}


SAID = {"role": Value("string"), "content": Value("string")}


def asked(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": "Itu."}]


def llava(folder: Path, number: int) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>Apa?"}, {"from": "gpt", "value": "Itu."}]
    return {"image": inside(folder, f"{number}.png"), "conversations": turns}


def beside(folder: Path, number: int) -> dict[str, Any]:
    names = [f"{number}.png", f"{(number + 1) % ROWS}.png"]
    held = {"images": [inside(folder, name) for name in names]}
    return (
        {"messages": asked("<image><image><audio>?")}
        | held
        | {"audios": [inside(folder, f"{number}.wav")]}
    )


def nested(folder: Path, number: int) -> dict[str, Any]:
    shown = {"type": "image", "text": None, "image": inside(folder, f"{number}.png")}
    text = {"type": "text", "text": "Apa?", "image": None}
    said = {"type": "text", "text": "Itu.", "image": None}
    messages = [
        {"role": "user", "content": [shown, text]},
        {"role": "assistant", "content": [said]},
    ]
    return {"messages": messages}


PART = {"type": Value("string"), "text": Value("string"), "image": Image()}
TABLES: dict[str, tuple[Callable[[Path, int], dict[str, Any]], dict[str, Any]]] = {
    "llava": (
        llava,
        {
            "image": Image(),
            "conversations": List({"from": Value("string"), "value": Value("string")}),
        },
    ),
    "beside": (
        beside,
        {"messages": List(SAID), "images": List(Image()), "audios": List(Audio())},
    ),
    "nested": (nested, {"messages": List({"role": Value("string"), "content": List(PART)})}),
}


def saved(table: str, kind: str, files: Path, folder: Path) -> Path:
    """Write a table of all rows as `datasets` does."""
    make, features = TABLES[table]
    rows = [make(files, number) for number in range(ROWS)]
    found = datasets.Dataset.from_list(rows).cast(datasets.Features(features))
    path = folder / f"a.{kind}"
    if kind == "parquet":
        found.to_parquet(path, batch_size=3)
    else:
        found.save_to_disk(path)
    return path


def bytes_of(ref: MediaRef, root: Path) -> bytes:
    return find_source(ref.address, root=root, limits=Limits()).read_bytes(Limits())


@pytest.mark.parametrize("kind", ["parquet", "saved"])
@pytest.mark.parametrize("table", TABLES)
def test_media_of_a_table_are_those_of_its_rows_at_any_index(
    table: str, kind: str, files: Path, tmp_path: Path
) -> None:
    path = saved(table, kind, files, tmp_path)
    dataset = RecordDataset(path)

    assert len(dataset) == ROWS
    for number in (6, 0, 3, 1, 5, 2, 4):
        where, record = dataset[number]
        row = TABLES[table][0](files, number)
        found = [bytes_of(ref, tmp_path / "none") for ref in record.media]
        assert found == [*held_in(row)]
        assert where == f"{path}:{number + 1}"
        assert all(ref.uri.startswith(f"{where} ") for ref in record.media)
        assert [re.search(r"\((.*)\)", ref.uri)[1] for ref in record.media] == [*names_in(row)]  # type: ignore[index]


def held_in(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from held_in(inner)


def names_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and "bytes" in value:
        yield value["path"]
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from names_in(inner)


@pytest.mark.parametrize("kind", ["parquet", "saved"])
def test_sources_of_a_table_are_read_by_other_processes_and_by_threads(
    kind: str, files: Path, tmp_path: Path
) -> None:
    path = saved("beside", kind, files, tmp_path)
    dataset = RecordDataset(path)
    refs = [ref for number in range(ROWS) for ref in dataset[number][1].media]
    expected = [bytes_of(ref, tmp_path) for ref in refs]
    assert len({*expected}) == 2 * ROWS

    with ThreadPoolExecutor(8) as threads:
        many = [*threads.map(lambda ref: bytes_of(ref, tmp_path), refs * 20)]
    assert many == expected * 20
    sent = pickle.dumps([ref.address for ref in refs])
    done = subprocess.run(
        [sys.executable, "-c", READ], input=sent, stdout=subprocess.PIPE, check=True
    )
    assert pickle.loads(done.stdout) == expected
    assert [bytes_of(ref, tmp_path) for ref in pickle.loads(pickle.dumps(refs))] == expected


READ = """
import pickle, sys
from mmmodal.media.limits import Limits
sources = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps([source.read_bytes(Limits()) for source in sources]))
"""
"""What another process does with the sources that it is sent."""


@pytest.mark.parametrize("table", ["llava", "beside"])
def test_scanning_a_parquet_file_does_not_read_the_bytes_of_media(
    table: str, files: Path, tmp_path: Path
) -> None:
    path = saved(table, "parquet", files, tmp_path)
    damage(path)

    found = list(scan(path))

    assert [item.error for item in found] == [None] * ROWS
    (ref, *_) = found[3].record.media  # type: ignore[union-attr]
    with pytest.raises(MediaError, match=rf"{re.escape(str(path))}:4 .*it is damaged or cut off"):
        bytes_of(ref, tmp_path)


def test_rows_without_media_among_others_do_not_make_scanning_read_them(
    files: Path, tmp_path: Path
) -> None:
    held = [inside(files, f"{number}.png") for number in range(3)]
    rows = [
        {"messages": asked("<image>" * len(images)) if images else asked("?"), "images": images}
        for images in ([held[0]], [], None, held[1:], [held[0] | {"path": None}])
    ]
    path = parquet(tmp_path / "a.parquet", rows)
    expected = [[bytes_of(ref, files) for ref in item.record.media] for item in scan(path)]  # type: ignore[union-attr]
    assert [len(found) for found in expected] == [1, 0, 0, 2, 1]

    damage(path)

    found = list(scan(path))
    assert [item.error for item in found] == [None] * 5
    assert [len(item.record.media) for item in found] == [1, 0, 0, 2, 1]  # type: ignore[union-attr]


def damage(path: Path) -> None:
    """Overwrite all bytes of media in a Parquet file."""
    whole = path.read_bytes()
    about = pyarrow.parquet.ParquetFile(path).metadata
    damaged = bytearray(whole)
    for group in range(about.num_row_groups):
        for number in range(about.num_columns):
            column = about.row_group(group).column(number)
            if column.path_in_schema.endswith(".bytes"):
                begin = column.dictionary_page_offset or column.data_page_offset
                end = begin + column.total_compressed_size
                damaged[begin:end] = b"\xff" * (end - begin)
    path.write_bytes(damaged)


def parquet(path: Path, rows: list[dict[str, Any]], schema: pyarrow.Schema | None = None) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path, row_group_size=2)
    return path


def with_images(*images: Any) -> list[dict[str, Any]]:
    turns = [{"from": "human", "value": "<image>Apa?"}, {"from": "gpt", "value": "Itu."}]
    return [{"image": image, "conversations": turns} for image in images]


def test_bytes_paths_and_nothing_may_be_mixed_in_a_column(files: Path) -> None:
    data = (files / "1.png").read_bytes()
    path = parquet(
        files / "mixed.parquet",
        with_images(
            {"bytes": data, "path": None},
            {"bytes": None, "path": "2.png"},
            {"bytes": None, "path": None},
            None,
            {"bytes": data, "path": "1.png"},
            {"bytes": b"", "path": "3.png"},
            {"bytes": None, "path": "../4.png"},
        ),
    )

    found = [item.error or item.record for item in scan(path)]

    assert bytes_of(found[0].media[0], files) == data  # type: ignore[union-attr]
    assert found[1].media[0].uri == "2.png"  # type: ignore[union-attr]
    assert "'image' has neither bytes nor a path; fill it" in str(found[2])
    assert "'images' lists 0 media, but the messages mark 1" in str(found[3])
    assert bytes_of(found[4].media[0], files) == data  # type: ignore[union-attr]
    assert [str(e) for _, problems in Checker(files).check(scan(path)) for e in problems] == [
        f"{path}:3: 'image' has neither bytes nor a path; fill it, or leave out the row",
        f"{path}:4: 'images' lists 0 media, but the messages mark 1; mark the place of each by "
        '<image> in the text of a user turn, or by {"type": "image"}',
        f"{path}:6: medium 0: {path}:6 image (3.png): it holds no data (0 bytes); replace it",
        f"{path}:7: medium 0: ../4.png: it is outside of the media root; move the file under the "
        "root, or change the root",
    ]


@pytest.mark.parametrize("workers", [0, 3])
def test_a_file_of_the_same_name_with_other_bytes_is_told(files: Path, workers: int) -> None:
    path = parquet(
        files / "both.parquet",
        with_images(
            inside(files, "1.png"),
            inside(files, "1.png") | {"path": "2.png"},
            inside(files, "1.png") | {"path": "elsewhere.png"},
            inside(files, "1.png") | {"path": "/etc/hostname"},
        ),
    )

    problems = [str(e) for _, found in Checker(files).check(scan(path), workers) for e in found]

    assert problems == [
        f"{path}:2: medium 0: {path}:2 image (2.png): the file of this name has other bytes than "
        "the row; remove one of them"
    ]


def test_a_column_of_bytes_alone_holds_media(files: Path) -> None:
    images = [(files / f"{number}.png").read_bytes() for number in range(3)]
    dataset = RecordDataset(parquet(files / "bytes.parquet", with_images(*images)))

    assert [bytes_of(dataset[n][1].media[0], files) for n in range(3)] == images


def test_sound_that_is_decoded_already_is_read(files: Path) -> None:
    wave = [0.0, 0.5, -0.5, 1.0] * 400
    rows = [
        {
            "messages": asked("<audio>Apa?"),
            "audio": {"array": wave, "sampling_rate": 16000, "path": None},
        },
        {"messages": asked("<audio>Apa?"), "audio": {"array": wave, "sampling_rate": 0}},
    ]
    path = parquet(files / "decoded.parquet", rows)

    good, bad = scan(path)
    (problems, _) = [found for _, found in Checker(files).check([good, bad])]

    from mmmodal.modalities.audio import Audio as Sounds

    assert problems == []
    (ref,) = good.record.media  # type: ignore[union-attr]
    source = find_source(ref.address, root=None, limits=Limits())
    item = Sounds().read(source, Sounds.Limits())
    assert np.allclose(np.asarray(item.samples).ravel(), wave)
    assert item.rate == 16000
    assert re.search("decoded.parquet:2: .*rate", str(bad.error))


def test_a_limit_applies_to_a_medium_in_a_row(files: Path) -> None:
    path = parquet(files / "large.parquet", with_images(inside(files, "1.png")))
    ((_, ref),) = [(row, item.media[0]) for row, item in [RecordDataset(path)[0]]]

    with pytest.raises(MediaError, match=r"large.parquet:1 image .* exceed the limit of 10"):
        find_source(ref.address, root=None, limits=Limits()).read_bytes(Limits(file_bytes=10))


def test_a_table_that_changed_since_it_was_opened_is_an_error(files: Path) -> None:
    path = parquet(files / "changed.parquet", with_images(*[inside(files, "1.png")] * 4))
    refs = [RecordDataset(path)[number][1].media[0] for number in range(4)]
    parquet(path, with_images(inside(files, "1.png"), *[{"bytes": None, "path": "1.png"}] * 2))
    refs = pickle.loads(pickle.dumps(refs))

    for ref in refs[1:]:
        with pytest.raises(MediaError, match="changed while it was in use|is damaged or cut off"):
            bytes_of(ref, files)


def test_bytes_may_have_no_path_beside_them(files: Path) -> None:
    data = (files / "1.png").read_bytes()
    tables = [
        with_images({"bytes": data, "height": 40}),
        [{"images": [{"bytes": data}], "messages": asked("<image>?")}],
        [{"images": [data], "messages": asked("<image>?")}],
        [{"image": data, "messages": asked("<image>?")}],
    ]

    for rows in tables:
        dataset = RecordDataset(parquet(files / "bare.parquet", rows))
        assert bytes_of(dataset[0][1].media[0], files) == data


def test_a_medium_under_a_key_that_is_not_read_is_refused(files: Path) -> None:
    rows = [
        row | {"thumbnail": inside(files, "1.png")} for row in with_images(inside(files, "0.png"))
    ]

    (item,) = scan(parquet(files / "two.parquet", rows))

    assert isinstance(item.error, RecordError)
    assert re.search(r"'thumbnail' holds a medium \(.*two.parquet:1 thumbnail", str(item.error))


@pytest.mark.parametrize("name", ["list", "item", "a.b"])
def test_names_of_columns_do_not_hide_media(name: str, files: Path) -> None:
    """A table with media under a name that Parquet uses for lists, or with a dot in it."""
    rows = [{name: inside(files, "0.png"), "bytes": b"x", "id": "1"}] * 2
    (row, _) = open_rows(parquet(files / "names.parquet", rows))

    values = row.read()

    assert values[name].read_bytes(Limits()) == rows[0][name]["bytes"]
    assert values["bytes"].read_bytes(Limits()) == b"x"


def test_records_of_json_lines_are_as_before(files: Path) -> None:
    rows = with_images({"path": "1.png", "bytes": None})
    dataset = RecordDataset(write_lines(files / "a.jsonl", rows))

    assert dataset[0][1].media[0].address == "1.png"
