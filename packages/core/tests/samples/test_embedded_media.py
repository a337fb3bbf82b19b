"""Media inside a Parquet file are prepared, measured, cached and trained on as the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch.utils.data import DataLoader

import mmmodal
from beeps import make_records
from mmmodal.cli.main import run
from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordDataset, read_records
from mmmodal.records.writing import write_records
from mmmodal.samples.feature_cache.filling import fill_cache
from mmmodal.samples.feature_cache.settings import Cache
from mmmodal.samples.preparer import Preparer
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.inputs import frozen_tower, open_data, prepared_dataset
from mmmodal.train.stage.stage import run_stage
from worlds import logged

KINDS = ("image", "audio")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 6)


@pytest.fixture(scope="module")
def embedded(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the same records with their media inside, in a folder without any."""
    folder = tmp_path_factory.mktemp("embedded")
    path = folder / "a.parquet"
    write_records((r for _, r in read_records(files)), path, media="embed", root=files.parent)
    table = datasets.Dataset.from_parquet(str(path), cache_dir=str(folder / "cache"))
    table.save_to_disk(folder / "saved")
    return {"parquet": path, "saved": folder / "saved"}


@pytest.fixture(scope="module")
def preparer(start: Path) -> Preparer:
    preparer: Preparer = mmmodal.load(start, device="cpu").processor.preparer
    return preparer


def recipe(stage: str, model: Path, data: Path, out: Path, *more: str) -> Any:
    small = ["batch_size=1", "max_steps=2", "log_every=1", "max_tokens=512", "packing=true"]
    return load_recipe(stage, [f"model={model}", f"data={data}", f"out={out}", *small, *more])


def prepared(preparer: Preparer, data: Path) -> Any:
    loaded = recipe("align", Path("m"), data, Path("o"))
    return prepared_dataset(loaded, open_data(loaded), preparer, 512)


@pytest.mark.parametrize("kind", ["parquet", "saved"])
def test_samples_and_lengths_are_those_of_files(
    kind: str, files: Path, embedded: dict[str, Path], preparer: Preparer
) -> None:
    expected, found = prepared(preparer, files), prepared(preparer, embedded[kind])

    assert len(found) == len(expected) == 6
    assert [found.measure(n).tokens for n in range(6)] == [
        expected.measure(n).tokens for n in range(6)
    ]
    for number in (5, 0, 3):
        one, other = found[number], expected[number]
        assert (one.input_ids, one.labels) == (other.input_ids, other.labels)
        torch.testing.assert_close(one.features, other.features, rtol=0, atol=0)
    found.check_encoders(0)


@pytest.mark.parametrize("kind", ["parquet", "saved"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_media(
    kind: str, method: str, files: Path, embedded: dict[str, Path], preparer: Preparer
) -> None:
    if method == "spawn" and kind == "saved":
        pytest.skip("the start of a process is slow, and a saved folder has no open file")
    found = prepared(preparer, embedded[kind])
    found[0]  # the file is open here
    loader = DataLoader(
        found,
        batch_size=None,
        num_workers=2 if method == "fork" else 1,
        multiprocessing_context=method,
    )

    expected = prepared(preparer, files)

    assert [s.input_ids for s in loader] == [expected[n].input_ids for n in range(6)]


def test_features_are_cached_by_content(
    start: Path, files: Path, embedded: dict[str, Path], tmp_path: Path
) -> None:
    model = mmmodal.load(start, device="cpu")
    preparer = model.processor.preparer
    runs: list[int] = []
    for kind in KINDS:
        model.model.tower(kind).register_forward_hook(lambda *_: runs.append(1))
    cache = Cache(tmp_path / "cache", dtype="fp32")

    def fill(data: Path) -> set[str]:
        media = prepared(preparer, data).media(KINDS)
        fill_cache({k: frozen_tower(model, k, cache) for k in KINDS}, media, preparer, cache)
        return {medium.sha256(preparer) for medium in media}

    hashes = fill(files)
    first = len(runs)
    assert first
    assert [fill(path) for path in embedded.values()] == [hashes] * 2
    assert len(runs) == first


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("align", ()),
        ("instruct", ()),
        ("instruct", ("feature_cache={}", "feature_cache_dtype=fp32")),
    ],
)
def test_a_packed_run_on_embedded_media_is_that_on_files(
    stage: str,
    more: tuple[str, ...],
    start: Path,
    files: Path,
    embedded: dict[str, Path],
    tmp_path: Path,
) -> None:
    more = tuple(each.format(tmp_path / "cache") for each in more)
    for name, data in (("files", files), ("embedded", embedded["parquet"])):
        run_stage(recipe(stage, start, data, tmp_path / name, "workers=2", *more))

    losses = [[row["loss"] for row in logged(tmp_path / name)] for name in ("files", "embedded")]

    assert len(losses[0]) == 2
    assert losses[1] == losses[0]


def test_a_preview_is_that_of_files(
    start: Path, files: Path, embedded: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for path in (files, *embedded.values()):
        assert run(["data", "preview", str(path), "--model", str(start)]) == 0
        said.append(capsys.readouterr().out.replace(str(path), "DATA"))

    assert said[0]
    assert said[1:] == said[:1] * 2


def test_a_bad_medium_names_shard_and_row(files: Path, tmp_path: Path, preparer: Preparer) -> None:
    path = tmp_path / "bad.parquet"
    write_records((r for _, r in read_records(files)), path, media="embed", root=files.parent)
    table = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    column = table.with_format("arrow")["images"].to_pylist()
    broken = [[medium | {"bytes": b"no picture"} for medium in images] for images in column]
    plain = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache")).with_format(
        "arrow"
    )
    rows = [
        row | {"images": images} for row, images in zip(plain[:].to_pylist(), broken, strict=True)
    ]
    datasets.Dataset.from_list(rows).to_parquet(path)
    row = next(n for n, images in enumerate(broken) if images)

    with pytest.raises(
        RecordError, match=rf"bad.parquet:{row + 1}: .*bad.parquet:{row + 1} images.0"
    ):
        prepared(preparer, path)[row]


def test_the_media_of_records_are_not_in_memory(
    embedded: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only reading a source reads its bytes."""
    dataset = RecordDataset(embedded["parquet"])
    read: list[Any] = []
    source: Any = dataset._files.reader(0).source
    cell: Callable[..., Any] = type(source).cell

    def counted(*arguments: Any) -> Any:
        read.append(arguments)
        return cell(*arguments)

    monkeypatch.setattr(type(source), "cell", counted)
    records = [dataset[number][1] for number in range(6)]
    assert not read
    assert all(ref.held and ref.held.data is None for record in records for ref in record.media)
