"""Stored features are those a tower would compute now, or there are none; towers then run no more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import faulty
import mmmodal
from beeps import make_records
from forking import forked
from killing import Training
from mmmodal.digests import code_digest
from mmmodal.errors import ConfigError, FeatureCacheError, MediaError, RecordError
from mmmodal.media.limits import Limits
from mmmodal.media.source import find_source
from mmmodal.samples.feature_cache.filling import fill_cache
from mmmodal.samples.feature_cache.media import Medium
from mmmodal.samples.feature_cache.settings import Cache
from mmmodal.samples.feature_cache.store import FeatureStore
from mmmodal.samples.feature_cache.stored import StoredEncoder, StoredTower
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.inputs import frozen_tower, open_data, prepared_dataset, use_stored
from mmmodal.train.stage.stage import run_stage
from single_media import fill_by_single_media
from worlds import compose, logged

KINDS = ("image", "audio")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 6)


@pytest.fixture
def model(start: Path) -> Any:
    return mmmodal.load(start, device="cpu")


def recipe(stage: str, model: Path, data: Path, out: Path, *more: str) -> Any:
    small = ["batch_size=2", "max_steps=3", "log_every=1", "max_tokens=512", "learning_rate=1e-3"]
    return load_recipe(stage, [f"model={model}", f"data={data}", f"out={out}", *small, *more])


def media_of(model: Any, data: Path) -> list[Medium]:
    loaded = recipe("align", Path("m"), data, Path("o"))
    files = open_data(loaded)
    return prepared_dataset(loaded, files, model.processor.preparer, 512).media(KINDS)


def fill(model: Any, data: Path, folder: Path, **settings: Any) -> dict[str, FeatureStore]:
    settings = {"dtype": "fp32", **settings}
    cache = Cache(folder, **settings)
    towers = {kind: frozen_tower(model, kind, cache) for kind in KINDS}
    return fill_cache(towers, media_of(model, data), model.processor.preparer, cache)


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in logged(out)]


def encoded(model: Any, medium: Medium) -> torch.Tensor:
    """What the tower returns for a medium, without any cache."""
    processor, base = model.processor, model.model
    item = processor.read(medium.kind, medium.uri, root=medium.root)
    encoder = processor.preparer.encoders[medium.kind]
    with torch.no_grad():
        features: list[torch.Tensor] = base.tower(medium.kind)(
            **encoder.collate([encoder.preprocess(item)])
        )
    return features[0]


def shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def runs_of(model: Any) -> Callable[[], int]:
    """Count how often towers run from now on."""
    seen: list[int] = []
    for kind in KINDS:
        model.model.tower(kind).register_forward_hook(lambda *_: seen.append(1))
    return lambda: len(seen)


@pytest.mark.parametrize("stage", ["align", "instruct"])
def test_training_on_features_in_fp32_is_training_without(
    start: Path, data: Path, tmp_path: Path, stage: str
) -> None:
    """Of batches of one some have pictures alone, some sounds."""
    one = ("batch_size=1", "max_steps=5")
    run_stage(recipe(stage, start, data, tmp_path / "plain", *one))
    cache = (f"feature_cache={tmp_path / 'cache'}", "feature_cache_dtype=fp32")
    run_stage(recipe(stage, start, data, tmp_path / "cached", *one, *cache))
    plain, cached = (mmmodal.load(tmp_path / name).state_dict() for name in ("plain", "cached"))
    for name, weight in plain.items():
        torch.testing.assert_close(cached[name], weight, atol=1e-5, rtol=0, msg=name)
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)


def test_rounded_features_change_a_loss_by_little(start: Path, data: Path, tmp_path: Path) -> None:
    run_stage(recipe("instruct", start, data, tmp_path / "plain"))
    cache = f"feature_cache={tmp_path / 'cache'}"
    run_stage(recipe("instruct", start, data, tmp_path / "cached", cache, "workers=2"))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), rel=2e-3)


def test_a_packed_run_reads_features_and_lengths_from_the_cache(
    start: Path, data: Path, tmp_path: Path
) -> None:
    packed = ("packing=true", "batch_size=1", "max_steps=2")
    cache = (f"feature_cache={tmp_path / 'cache'}", "feature_cache_dtype=fp32")
    run_stage(recipe("instruct", start, data, tmp_path / "plain", *packed))
    run_stage(recipe("instruct", start, data, tmp_path / "cached", *packed, *cache))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)


def test_a_second_run_computes_nothing(model: Any, data: Path, tmp_path: Path) -> None:
    fill(model, data, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in shards(tmp_path)}
    count = runs_of(model)
    stores = fill(model, data, tmp_path)
    assert count() == 0
    assert {path: path.stat().st_mtime_ns for path in shards(tmp_path)} == before
    assert all(len(store) for store in stores.values())


def test_stored_features_are_those_of_the_tower(model: Any, data: Path, tmp_path: Path) -> None:
    stores = fill(model, data, tmp_path)
    for medium in media_of(model, data):
        found = stores[medium.kind].read(medium.sha256(model.processor.preparer))
        torch.testing.assert_close(found, encoded(model, medium), atol=1e-5, rtol=0)


def test_a_model_on_features_has_no_towers(model: Any, data: Path, tmp_path: Path) -> None:
    whole = sum(p.numel() for p in model.parameters())
    towers = [p.numel() for kind in KINDS for p in model.model.tower(kind).parameters()]
    for kind, store in fill(model, data, tmp_path).items():
        use_stored(model, kind, store)
    assert sum(p.numel() for p in model.parameters()) == whole - sum(towers)


def _weight(model: Any) -> None:
    with torch.no_grad():
        next(model.model.tower("image").parameters()).view(-1)[0] += 1e-3


def _half(model: Any) -> None:
    model.model.tower("image").bfloat16()


def _option(model: Any) -> None:
    model.processor.modalities["image"]["options"]["image_std"] = [0.25, 0.25, 0.25]


def _layer(model: Any) -> None:
    model.config.of("image", "config").options["select_layer"] = -1


def _package(model: Any) -> None:
    model.processor.modalities["image"]["version"] = "99.0"


@pytest.mark.parametrize("change", [_weight, _half, _option, _layer, _package])
def test_another_tower_never_reads_these_features(
    model: Any, data: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    before = fill(model, data, tmp_path)
    change(model)
    count = runs_of(model)
    after = fill(model, data, tmp_path)
    assert after["image"].folder != before["image"].folder
    assert after["audio"].folder == before["audio"].folder
    assert count() == 1


@pytest.mark.parametrize("other", [{"dtype": "bf16"}, {"autocast": torch.bfloat16}])
def test_another_precision_has_features_of_its_own(
    model: Any, data: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    before, after = fill(model, data, tmp_path), fill(model, data, tmp_path, **other)
    assert {s.folder for s in before.values()}.isdisjoint(s.folder for s in after.values())


def test_a_changed_medium_is_encoded_anew_and_never_read_stale(model: Any, tmp_path: Path) -> None:
    data = make_records(tmp_path / "data", 2, seed=5)
    stores = fill(model, data, tmp_path / "cache")
    medium = next(m for m in media_of(model, data) if m.kind == "image")
    path, status = medium.root / medium.uri, (medium.root / medium.uri).stat()
    from PIL import Image

    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # nobody looks at its time
    encoder = StoredEncoder(model.processor.preparer.encoders["image"], stores["image"], 32)
    with pytest.raises(MediaError, match="the file has changed"):
        encoder.recall(find_source(medium.uri, root=medium.root, limits=Limits()))
    renewed = fill(model, data, tmp_path / "cache")["image"]
    found = renewed.read(medium.sha256(model.processor.preparer))
    torch.testing.assert_close(found, encoded(model, medium), atol=1e-5, rtol=0)


def test_one_picture_under_two_names_is_encoded_once(model: Any, tmp_path: Path) -> None:
    data = make_records(tmp_path / "data", 4)
    media = media_of(model, data)
    pictures = [m.root / m.uri for m in media if m.kind == "image"]
    pictures[1].write_bytes(pictures[0].read_bytes())
    stores = fill(model, data, tmp_path / "cache")
    assert len(stores["image"]) == len({path.read_bytes() for path in pictures})
    assert len(stores["image"]) < len(pictures)


def test_what_exceeds_the_limit_is_refused_before_any_tower_runs(
    model: Any, data: Path, tmp_path: Path
) -> None:
    count = runs_of(model)
    with pytest.raises(
        FeatureCacheError, match=r"take about [\d.]+ KB.* of its limit of 1\.0 KB; raise"
    ):
        fill(model, data, tmp_path / "cache", limit=1000)
    assert count() == 0 and not shards(tmp_path)


def test_the_estimate_is_what_is_written(
    model: Any, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = fill(model, data, tmp_path)
    kept = [
        stores[m.kind].read(m.sha256(model.processor.preparer)).nbytes
        for m in {m.sha256(model.processor.preparer): m for m in media_of(model, data)}.values()
    ]
    told = capsys.readouterr().err.partition("about ")[2].split("\n")[0]
    assert told == f"{sum(kept) / 1000:.1f} KB"


def test_what_other_towers_left_counts_against_the_limit(
    model: Any, data: Path, tmp_path: Path
) -> None:
    fill(model, data, tmp_path)
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    _weight(model)
    with pytest.raises(FeatureCacheError, match="remove the folders of other towers"):
        fill(model, data, tmp_path, limit=used + 1000)


def test_a_process_that_is_killed_leaves_what_it_finished(
    start: Path, model: Any, data: Path, tmp_path: Path
) -> None:
    """Each shard holds one batch; the process is killed when the first is there."""
    process = forked(fill_by_single_media, start, data, tmp_path)
    process.start()
    while not shards(tmp_path) and process.is_alive():
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = {path: path.read_bytes() for path in shards(tmp_path)}
    stores = fill(model, data, tmp_path)
    assert {path: path.read_bytes() for path in kept} == kept
    for medium in media_of(model, data):
        assert medium.sha256(model.processor.preparer) in stores[medium.kind]


def test_half_a_shard_is_not_read_and_goes_when_it_is_old(
    model: Any, data: Path, tmp_path: Path
) -> None:
    folder = fill(model, data, tmp_path)["image"].folder
    old, new = (folder / f".{name}.safetensors.writing-7" for name in "ab")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    store = FeatureStore(folder, {})
    store.add({"ab" * 32: torch.ones(2, 3)})
    assert not old.exists() and new.exists()


def test_a_damaged_shard_is_named(model: Any, data: Path, tmp_path: Path) -> None:
    fill(model, data, tmp_path)
    shard = shards(tmp_path)[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(FeatureCacheError, match=rf"{shard.name} is damaged; remove it"):
        fill(model, data, tmp_path)


def test_a_shard_in_the_folder_of_another_tower_is_refused(
    model: Any, data: Path, tmp_path: Path
) -> None:
    stores = fill(model, data, tmp_path)
    shard = next(stores["image"].folder.glob("*.safetensors"))
    (stores["audio"].folder / shard.name).write_bytes(shard.read_bytes())
    with pytest.raises(FeatureCacheError, match=f"holds features of {stores['image'].folder.name}"):
        fill(model, data, tmp_path)


def test_a_bad_medium_names_its_row_or_is_told(model: Any, tmp_path: Path) -> None:
    data = make_records(tmp_path / "data", 3)
    medium = next(m for m in media_of(model, data) if m.kind == "image")
    (medium.root / medium.uri).write_bytes(b"no picture")
    with pytest.raises(RecordError, match=rf"records\.jsonl:\d+: .*{Path(medium.uri).name}"):
        fill(model, data, tmp_path / "cache")
    told: list[RecordError] = []
    stores = fill(model, data, tmp_path / "cache", on_error=told.append)
    assert [error.where for error in told] == [medium.where]
    assert all(len(store) for store in stores.values())


def test_towers_that_train_are_not_kept(start: Path, data: Path, tmp_path: Path) -> None:
    cache = (f"feature_cache={tmp_path / 'cache'}", "train=[projectors, towers]")
    with pytest.raises(ConfigError, match="all towers are trained"):
        run_stage(recipe("align", start, data, tmp_path / "out", *cache))
    assert not (tmp_path / "cache").exists()


def test_shapes_of_all_kinds_come_back(model: Any, tmp_path: Path) -> None:
    encoder = StoredEncoder(
        model.processor.preparer.encoders["image"], FeatureStore(tmp_path, {}), 5
    )
    items = [torch.randn(*shape, 5) for shape in ((3, 2, 2), (1, 2, 2), (7,))]
    back = StoredTower()(**encoder.collate(items))
    assert all(torch.equal(one, other) for one, other in zip(back, items, strict=True))


def test_a_resumed_run_may_move_the_cache_but_not_change_what_is_read(
    start: Path, data: Path, tmp_path: Path
) -> None:
    first, moved, rounded, without = (
        recipe("align", start, data, tmp_path / "out", *more).fingerprint()
        for more in (
            ("feature_cache=a", "feature_cache_dtype=fp32"),
            ("feature_cache=b", "feature_cache_dtype=fp32", "feature_cache_limit=5GB"),
            ("feature_cache=a",),
            (),
        )
    )
    assert first == moved
    assert first != rounded and first != without and rounded != without


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("deepspeed", ["none", "zero3"])
def test_two_ranks_fill_one_cache_together(
    start: Path, data: Path, tmp_path: Path, deepspeed: str
) -> None:
    few = {"batch_size": 1, "max_steps": 3, "log_every": 1, "max_tokens": 512, "precision": "fp32"}
    settings = {"model": start, "data": data, "deepspeed": deepspeed, **few}
    plain = Training("align", settings, tmp_path / "plain", ranks=2)
    plain.finish()
    stored = {"feature_cache": tmp_path / "cache", "feature_cache_dtype": "fp32"}
    cached = plain.elsewhere(tmp_path / "cached", settings={**settings, **stored})
    cached.finish()
    assert losses(cached.out) == pytest.approx(losses(plain.out), abs=1e-5)
    assert len(shards(tmp_path / "cache")) == 4  # of each tower one by each rank


def test_other_code_of_an_encoder_has_other_features(
    parts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its package keeps its version while it is developed, so that only the code tells."""
    data, folder = faulty.files(tmp_path / "data"), tmp_path / "features"
    changed = faulty.with_changes(("/ 100", "/ 50"))
    computed = []
    for turn, text in enumerate((faulty.MODULE, faulty.MODULE, changed)):
        with faulty.installed(tmp_path / f"plugin-{turn}", text):
            if not turn:
                compose(parts["llama"], parts, tmp_path / "m", encoders={"depth": "eyes"})
            more = (f"feature_cache={folder}", "max_tokens=256")
            run_stage(recipe("align", tmp_path / "m", data, tmp_path / f"out-{turn}", *more))
        computed.append("Computing features of 6 media" in capsys.readouterr().err)
    assert computed == [True, False, True]


def test_code_in_a_package_that_is_being_developed_is_in_its_digest(tmp_path: Path) -> None:
    with faulty.installed(tmp_path / "plugin"):
        import mmmodal_depth

        before = code_digest([mmmodal_depth.Eyes])
        assert before and before == code_digest([mmmodal_depth.Eyes, mmmodal_depth.Depth])
        Path(mmmodal_depth.__file__).write_text(faulty.MODULE + "\n# changed\n")
        assert code_digest([mmmodal_depth.Eyes]) != before
    assert code_digest([torch.nn.Linear, mmmodal.Encoder]) == ""  # their versions tell
