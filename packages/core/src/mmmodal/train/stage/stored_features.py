"""Training on features that are stored: the cache is filled once, then frozen towers are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmmodal.errors import ConfigError
from mmmodal.model.zero3 import gathered
from mmmodal.records.dataset import OnError
from mmmodal.samples.feature_cache.filling import fill_cache
from mmmodal.samples.feature_cache.settings import Cache
from mmmodal.samples.feature_cache.stored import use_stored
from mmmodal.train.loop.trainable import frozen_towers
from mmmodal.train.stage.arguments import half_precision

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.samples.dataset import PreparedDataset
    from mmmodal.samples.feature_cache.store import FeatureStore
    from mmmodal.train.recipe.recipe import Recipe

__all__ = ["store_features"]


def store_features(
    model: MMModalForConditionalGeneration,
    dataset: PreparedDataset,
    recipe: Recipe,
    arguments: TrainingArguments,
    on_error: OnError = "raise",
) -> dict[str, FeatureStore]:
    """Compute what the recipe's feature cache lacks and let the model and `dataset` read from it.

    Returns the features of each modality; of none where the recipe has no cache. The parts that
    train must have been chosen: only towers that stay as they are have such features. A medium that
    cannot be read is told to `on_error`.

    Raises:
        ConfigError: every tower trains.
        FeatureCacheError: the features do not fit, or cannot be written or read.
    """
    if recipe.feature_cache is None:
        return {}
    frozen = frozen_towers(model)
    if not frozen:
        raise ConfigError("recipe", ["'feature_cache': every tower trains, so nothing can be kept"])
    cache = Cache(
        recipe.feature_cache,
        limit=recipe.feature_cache_limit,
        dtype=recipe.feature_cache_dtype,
        workers=arguments.dataloader_num_workers,
        device=str(arguments.device),
        autocast=half_precision(arguments) if arguments.deepspeed is None else None,
        limits=model.processor.limits,
        told=None if on_error == "raise" else on_error,
    )
    with gathered(*(p for name in frozen for p in model.model.tower(name).parameters())):
        stores = fill_cache(model, frozen, dataset.media(frozen), cache)
    for name, store in stores.items():
        use_stored(model, name, store)
    return stores
