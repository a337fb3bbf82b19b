"""Fill a feature cache medium by medium, in a process that is to be killed."""

from __future__ import annotations

from pathlib import Path

from mmmodal.samples.dataset import PreparedDataset
from mmmodal.samples.feature_cache import filling
from mmmodal.samples.feature_cache.settings import Cache
from mmmodal.train.recipe.recipe import load_recipe

__all__ = ["fill_by_single_media"]


def fill_by_single_media(model: Path, data: Path, folder: Path) -> None:
    """Write one shard for each medium of some records."""
    import mmmodal

    filling.POSITIONS = 1
    loaded = mmmodal.load(model, device="cpu")
    recipe = load_recipe("align", [f"model={model}", f"data={data}", "out=o", "max_tokens=512"])
    kinds = ("image", "audio")
    media = PreparedDataset.open(recipe, loaded.processor, None).media(kinds)
    filling.fill_cache(loaded, kinds, media, Cache(folder, dtype="fp32", shard_bytes=1))
