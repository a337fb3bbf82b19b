"""Fill a feature cache medium by medium, in a process to be killed."""

from __future__ import annotations

from pathlib import Path

from mmmodal.samples.feature_cache import filling
from mmmodal.samples.feature_cache.settings import Cache
from mmmodal.train.recipe import load_recipe
from mmmodal.train.stage.inputs import frozen_tower, open_data, prepared_dataset

__all__ = ["fill_by_single_media"]


def fill_by_single_media(model: Path, data: Path, folder: Path) -> None:
    """Write one shard for each medium of some records."""
    import mmmodal

    filling.POSITIONS = 1
    loaded = mmmodal.load(model, device="cpu")
    recipe = load_recipe("align", [f"model={model}", f"data={data}", "out=o", "max_tokens=512"])
    kinds = ("image", "audio")
    preparer, cache = loaded.processor.preparer, Cache(folder, dtype="fp32", shard_bytes=1)
    media = prepared_dataset(recipe, open_data(recipe), preparer, recipe.max_tokens).media(kinds)
    towers = {kind: frozen_tower(loaded, kind, cache) for kind in kinds}
    filling.fill_cache(towers, media, preparer, cache)
