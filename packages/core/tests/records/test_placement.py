"""Records written with their media: in, out and in again they are the same, bytes and all."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from media_files import encode_sound
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.media.limits import Limits
from mmmodal.media.source import find_source
from mmmodal.records.dataset import RecordReader, read_records
from mmmodal.records.tar_rows import TarRows
from mmmodal.records.writing import write_records
from worlds import picture, read_lines, record


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, list[Record]]:
    """Return a folder, and records of its media: paths, a member of a tar, and a data URI."""
    folder = tmp_path / "in"
    (folder / "pics").mkdir(parents=True)
    for number in range(3):
        picture(number).save(folder / f"pics/{number}.png")
    sound = encode_sound(np.zeros(1600), "WAV", "PCM_16")
    (folder / "a.wav").write_bytes(sound)
    with tarfile.open(folder / "b.tar", "w") as tar:
        tar.add(folder / "pics/2.png", "deep/2.png")
    inline = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    digest = hashlib.sha256(sound).hexdigest()
    rows = [
        record("r.1", ("image", "pics/0.png"), ("audio", "a.wav"), asked="Apa?", lang="ms"),
        record("r_1", ("audio", "a.wav"), ("image", "pics/1.png"), ("image", "b.tar::deep/2.png")),
        record("r/3", asked="Apa khabar?", group="g", meta={"source": "x", "n": [1, None]}),
        record("r4", ("image", inline), ("image", "pics/0.png")),
    ]
    rows[0]["media"][1]["sha256"] = digest
    return folder, [Record.model_validate(row) for row in rows]


def content(records: list[Record], root: Path) -> list[Any]:
    """Return records with the bytes of their media instead of where these are."""
    return [
        record.model_dump(exclude={"media"})
        | {
            "media": [
                (
                    ref.kind,
                    ref.sha256,
                    find_source(ref.address, root=root, limits=Limits()).read_bytes(Limits()),
                )
                for ref in record.media
            ]
        }
        for record in records
    ]


def read(path: Path) -> list[Record]:
    if path.suffix == ".tar":
        reader = RecordReader(TarRows(path))
        return [item.record for item in reader.scan() if item.record is not None]
    return [record for _, record in read_records(path)]


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("a.parquet", "embed"),
        ("a.tar", "embed"),
        ("a.jsonl", "embed"),
        ("a.jsonl", "files"),
        ("a.parquet", "files"),
    ],
)
@pytest.mark.parametrize("then", ["a.parquet", "a.tar", "a.jsonl"])
def test_what_is_written_is_read_again_and_once_more(
    source: tuple[Path, list[Record]], tmp_path: Path, name: str, media: Any, then: str
) -> None:
    folder, records = source
    first, second = (tmp_path / each for each in ("first", "second"))
    first.mkdir()
    second.mkdir()

    assert write_records(records, first / name, media=media, root=folder) == 4
    once = read(first / name)
    write_records(once, second / then, media="embed", root=first)

    assert content(once, first) == content(records, folder)
    assert content(read(second / then), second / "none") == content(records, folder)


def test_datasets_shows_pictures_and_players(
    source: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = source
    path = tmp_path / "a.parquet"
    write_records(records, path, media="embed", root=folder)

    found = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )

    assert found.features["images"] == datasets.List(datasets.Image())
    assert found.features["audios"] == datasets.List(datasets.Audio())
    shown = found.remove_columns("audios")[1]["images"]
    assert [image.size for image in shown] == [(50, 40), (50, 40)]
    assert np.array_equal(np.asarray(shown[0]), np.asarray(Image.open(folder / "pics/1.png")))
    (player,) = found.cast_column("audios", datasets.List(datasets.Audio(decode=False)))[0][
        "audios"
    ]
    assert player == {"bytes": (folder / "a.wav").read_bytes(), "path": "a.wav"}


def test_files_are_named_by_their_content_and_written_once(
    source: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = source
    write_records(records, tmp_path / "rows.jsonl", media="files", root=folder)

    uris = [ref["uri"] for row in read_lines(tmp_path / "rows.jsonl") for ref in row["media"]]

    assert len(uris) == 7
    assert {*uris} == {f"rows-media/{path.name}" for path in (tmp_path / "rows-media").iterdir()}
    assert len({*uris}) == 5
    for uri in uris:
        digest = hashlib.sha256((tmp_path / uri).read_bytes()).hexdigest()
        assert re.fullmatch(rf"rows-media/{digest}\.(png|wav)", uri)


def test_a_tar_shard_has_the_layout_of_webdataset(
    source: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = source
    for name in ("a.tar", "b.tar"):
        write_records(records, tmp_path / name, media="embed", root=folder)

    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        described = json.load(io.TextIOWrapper(tar.extractfile("r_1.json")))  # type: ignore[arg-type]

    assert names == [
        *("r_1.json", "r_1.0.png", "r_1.1.wav"),
        *("r_1_1.json", "r_1_1.0.wav", "r_1_1.1.png", "r_1_1.2.png"),
        "r_3.json",
        *("r4.json", "r4.0.png", "r4.1.png"),
    ]
    assert [ref["uri"] for ref in described["media"]] == ["r_1.0.png", "r_1.1.wav"]
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_medium_in_a_row_is_never_left_behind(
    source: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = source
    write_records(records, tmp_path / "a.parquet", media="embed", root=folder)

    for name, to in (("b.jsonl", "native"), ("b.jsonl", "openai"), ("b.parquet", "native")):
        with pytest.raises(
            RecordError, match=r"its medium \(.*a.parquet:1 images.0 \(pics/0.png\)"
        ) as e:
            write_records(read(tmp_path / "a.parquet"), tmp_path / name, to=to)
        assert "`--media embed` or `--media files`" in str(e.value)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.tar", {}, "a tar shard holds the media of its rows; add `--media embed`"),
        ("a.tar", {"media": "files"}, "a tar shard holds the media of its rows"),
        ("a.tar", {"media": "embed", "to": "openai"}, "a tar shard holds native records only"),
        (
            "a.parquet",
            {"to": "llava"},
            "Parquet cannot hold rows of llava; write them as .jsonl, or llama-f",
        ),
        ("a.jsonl", {"to": "vqa"}, r"'vqa' are read, but not written; write .*, native, .* or trl"),
        ("a.tgz", {"media": "embed"}, "unknown ending '.tgz'"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(
    tmp_path: Path, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_records([], tmp_path / name, **settings)


@pytest.mark.parametrize("name", ["b.parquet", "b.tar", "b.jsonl"])
def test_a_medium_that_cannot_be_read_names_its_record(
    source: tuple[Path, list[Record]], tmp_path: Path, name: str
) -> None:
    folder, records = source
    (folder / "pics/1.png").unlink()

    with pytest.raises(RecordError, match=r"record 'r_1': pics/1.png: no such file"):
        write_records(records, tmp_path / name, media="embed", root=folder)

    assert not (tmp_path / name).exists()


def test_media_beside_a_native_row_must_be_as_many_as_it_lists(
    source: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = source
    path = tmp_path / "a.parquet"
    write_records(records, path, media="embed", root=folder)
    table = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "c")).with_format(
        "arrow"
    )
    rows = table[:].to_pylist()
    rows[1]["images"].pop()
    datasets.Dataset.from_list(rows).to_parquet(path)

    with pytest.raises(
        RecordError, match="a.parquet:2: 'images' holds 1 media, but 'media' lists 2"
    ):
        read(path)
