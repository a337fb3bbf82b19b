"""Load the inputs of a stage, the model and the data, in the precision of training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.conversation.differences import differences, tell
from mmmodal.errors import ConfigError, RecordError
from mmmodal.ranks import rank
from mmmodal.records.dataset import OnError, RecordDataset
from mmmodal.records.stream import RecordStream
from mmmodal.samples.dataset import PreparedDataset, open_files
from mmmodal.samples.preparer import Preparer
from mmmodal.samples.streaming import LANES
from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.arguments import arguments_of, join_ranks
from mmmodal.train.stage.held_out import draw, evaluation_of
from mmmodal.train.stage.plan import Plan
from mmmodal.train.stage.start import Start, find_start

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.samples.feature_cache.media import Medium
    from mmmodal.samples.feature_cache.settings import Cache, FrozenTower
    from mmmodal.samples.feature_cache.store import FeatureStore
    from mmmodal.samples.streaming.dataset import StreamedDataset
    from mmmodal.train.loop.evaluation import Evaluation

__all__ = [
    "Inputs",
    "combined",
    "frozen_tower",
    "load_model",
    "open_data",
    "open_inputs",
    "prepared_dataset",
    "store_features",
    "use_stored",
]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a stage."""

    start: Start
    plan: Plan
    arguments: TrainingArguments
    model: MMModalForConditionalGeneration
    dataset: PreparedDataset | StreamedDataset
    stores: dict[str, FeatureStore]
    """The stores of features that are read instead of computed, by modality."""

    on_error: OnError
    """The handling of a bad row."""

    bad_rows: list[RecordError] = field(default_factory=list)
    """The bad rows that were found, which are left out."""

    checks: tuple[Any, ...] = ()
    """Callbacks that check the model when training begins."""

    evaluation: Evaluation | None = None
    """What is evaluated during training."""


def open_inputs(recipe: Recipe, run: Path) -> Inputs:
    """Load the model, open the data, choose what trains, and fill the feature cache.

    Raises:
        MMModalError: the recipe cannot be run.
    """
    import torch
    from transformers import set_seed

    from mmmodal.train.loop.trainable import check_rates, choose

    start = find_start(recipe)
    plan = Plan.of(recipe, start.base, torch.cuda.is_available())
    arguments = arguments_of(recipe, run, plan)  # first: ZeRO-3 partitions the model on loading
    join_ranks(arguments)
    set_seed(recipe.seed)
    bad_rows: list[RecordError] = []
    on_error: OnError = "raise" if recipe.on_bad_sample == "refuse" else bad_rows.append
    # Before the weights, which load slowly.
    files = open_data(recipe, on_error, readers=LANES * arguments.world_size)
    drawn = draw(recipe, on_error)
    for note in drawn.notes if drawn is not None and rank() == 0 else ():
        print(f"Note: {note}", file=sys.stderr)
    model = load_model(start.base, recipe, plan)
    checks = _ready_for_packs(model, recipe, plan) if recipe.packing else ()
    preparer = model.processor.preparer
    found = differences(preparer.renderer)
    preparer.told = any(difference.kind == "history" for difference in found)
    tell(found if rank() == 0 else ())
    dataset = combined(recipe, files, preparer, plan.max_tokens)
    choose(model, recipe.train.parts, recipe.train.lora)
    check_rates(model, recipe.train.learning_rates)
    _hold(model, plan)
    start.fill(model, recipe)
    evaluation = None
    if drawn is not None:
        evaluation = evaluation_of(drawn, recipe, preparer, plan, arguments, on_error)
    stores: dict[str, FeatureStore] = {}
    if isinstance(dataset, PreparedDataset):
        more = evaluation.loss.media if evaluation is not None else None
        stores = store_features(model, dataset, recipe, arguments, plan, on_error, more)
    return Inputs(
        *(start, plan, arguments, model, dataset, stores),
        *(on_error, bad_rows, checks, evaluation),
    )


def open_data(
    recipe: Recipe, on_error: OnError = "raise", *, readers: int = 1
) -> list[RecordDataset | RecordStream]:
    """Return the open data files of a recipe; see `open_files`."""
    settings: Any = {"root": recipe.root, "root_maps": recipe.root_maps}
    return open_files(recipe.data, on_error=on_error, readers=readers, **settings)


def combined(
    recipe: Recipe,
    files: Sequence[RecordDataset | RecordStream],
    preparer: Preparer,
    max_tokens: int,
) -> PreparedDataset | StreamedDataset:
    """Return the dataset of a recipe's data files, which is streamed if one of them is."""
    if not recipe.streams:
        return prepared_dataset(recipe, files, preparer, max_tokens)
    from mmmodal.samples.streaming.dataset import StreamedDataset

    return StreamedDataset(
        files,
        [source.weight for source in recipe.data],
        preparer,
        max_tokens,
        window=recipe.shuffle_window,
        capacity=recipe.max_tokens if recipe.packing else None,
        seed=recipe.seed,
    )


def prepared_dataset(
    recipe: Recipe,
    files: Sequence[RecordDataset | RecordStream],
    preparer: Preparer,
    max_tokens: int,
) -> PreparedDataset:
    """Return the dataset of a recipe's indexed data files."""
    weights = [source.weight for source in recipe.data]
    indexed = [file for file in files if isinstance(file, RecordDataset)]
    assert len(indexed) == len(files), "streamed data have no index"
    return PreparedDataset(
        indexed, preparer, max_tokens=max_tokens, weights=weights, seed=recipe.seed
    )


def load_model(source: str, recipe: Recipe, plan: Plan) -> MMModalForConditionalGeneration:
    """Return the model that the stage starts from, in the precision of training."""
    from mmmodal.making.loading import load

    model = load(
        source,
        dtype=plan.loaded_as,
        device=None if recipe.quantization else "cpu",  # quantized weights cannot be moved
        attn_implementation=recipe.attn_implementation,
        quantization=recipe.quantization,
    )
    model.processor.allow(recipe.limits)
    model.processor.preparer.learn(recipe.thoughts, recipe.answers)
    model.train()
    return model


def _ready_for_packs(
    model: MMModalForConditionalGeneration, recipe: Recipe, plan: Plan
) -> tuple[Any, ...]:
    """Set attention that separates the samples of a pack; return the callbacks that check it."""
    from mmmodal.train.stage.pack_check import (
        PackCheck,
        attend_by_sample,
        check_positions,
        check_separable,
    )

    check_separable(model.get_decoder())  # type: ignore[arg-type]
    check_positions(model, plan.max_tokens)
    if recipe.attn_implementation is None:
        attend_by_sample(model)
    return (PackCheck(plan.half),)


def _hold(model: Any, plan: Plan) -> None:
    """Convert every weight to the precision of the plan, if autocast needs several."""
    if plan.autocast is None:
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(plan.held(trains=True))
        elif parameter.is_floating_point():  # quantized weights are not
            parameter.data = parameter.to(plan.held(trains=False))


def store_features(
    model: MMModalForConditionalGeneration,
    dataset: PreparedDataset,
    recipe: Recipe,
    arguments: TrainingArguments,
    plan: Plan,
    on_error: OnError = "raise",
    more_media: Callable[[Collection[str]], list[Medium]] | None = None,
) -> dict[str, FeatureStore]:
    """Fill the recipe's feature cache, and make the model and `dataset` read from it.

    Return the store of each modality; an empty dict if the recipe has no cache. The trainable parts
    must have been selected before, as only frozen towers have stored features. The error of a
    medium that cannot be read is passed to `on_error`. `more_media` returns the media of some
    modalities that are read besides those of `dataset`.

    Raises:
        ConfigError: every tower is trained.
        FeatureCacheError: the features do not fit, or cannot be written or read.
    """
    if recipe.feature_cache is None:
        return {}
    from mmmodal.model.zero3 import gathered
    from mmmodal.samples.feature_cache.filling import fill_cache
    from mmmodal.samples.feature_cache.settings import Cache
    from mmmodal.train.loop.trainable import frozen_towers

    frozen = frozen_towers(model)
    if not frozen:
        raise ConfigError("recipe", ["'feature_cache': all towers are trained; remove the setting"])
    cache = Cache(
        recipe.feature_cache,
        limit=recipe.feature_cache_limit,
        dtype=recipe.feature_cache_dtype,
        workers=arguments.dataloader_num_workers,
        device=str(arguments.device),
        autocast=plan.autocast,
        on_error=None if on_error == "raise" else on_error,
    )
    with gathered(*(p for name in frozen for p in model.model.tower(name).parameters())):
        towers = {name: frozen_tower(model, name, cache) for name in frozen}
        media = [*dataset.media(frozen), *(more_media(frozen) if more_media else ())]
        stores = fill_cache(towers, media, dataset.preparer, cache)
    for name, store in stores.items():
        use_stored(model, name, store)
    return stores


def frozen_tower(
    model: MMModalForConditionalGeneration, modality: str, cache: Cache
) -> FrozenTower:
    from mmmodal.digests import code_digest
    from mmmodal.samples.feature_cache.key import describe_tower
    from mmmodal.samples.feature_cache.settings import FrozenTower

    network, encoder = model.model.tower(modality), model.model.encoders[modality]
    kind = model.processor.preparer.modalities[modality]
    description = describe_tower(
        modality,
        model.processor.modalities[modality],
        model.config.of(modality, "config").to_dict(),
        network,
        stored=cache.dtype,
        computed="as its weights" if cache.autocast is None else str(cache.autocast),
        code=code_digest([type(encoder), type(kind), *map(type, network.modules())]),
    )
    return FrozenTower(network, encoder, description)


def use_stored(model: MMModalForConditionalGeneration, modality: str, store: FeatureStore) -> None:
    """Make a model and its preparer read a modality's features from a store, and drop its tower.

    Processors that were created before still read media.
    """
    from mmmodal.samples.feature_cache.stored import StoredEncoder

    base, preparer = model.model, model.processor.preparer
    stand_in = StoredEncoder(preparer.encoders[modality], store, base.encoders[modality].width)
    base.encoders[modality] = stand_in
    preparer.encoders[modality] = stand_in
    setattr(base, f"{modality}_tower", stand_in.build())
