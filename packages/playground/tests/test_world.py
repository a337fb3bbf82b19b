"""The world is the same for the same seed, and its records say what is true of its media."""

from __future__ import annotations

from pathlib import Path

from mmmodal.cli.main import run
from mmmodal.data.dataset import RecordDataset
from mmmodal_playground.world import COLOURS, Scene, make_records


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        make_records(folder, 6, seed)
    found = [
        {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in folders
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_every_record_and_medium_passes_the_check(tmp_path: Path) -> None:
    path = make_records(tmp_path, 10)
    assert run(["data", "check", str(path)]) == 0
    records = [record for _, record in RecordDataset(path)]
    assert {record.lang for record in records} == {"en", "ms"}
    assert {medium.kind for record in records for medium in record.media} == {"image", "audio"}


def test_a_scene_shows_its_colour_where_it_says(tmp_path: Path) -> None:
    from PIL import Image

    Scene("blue", "square", 20, 30).draw(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.getpixel((20, 30)) == COLOURS["blue"]
        assert picture.getpixel((60, 60)) == (200, 200, 200)
