"""What a stage works on, loaded and held as it will be trained: the model and the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import RecordError
from mmmodal.records.dataset import OnError
from mmmodal.samples.dataset import PreparedDataset, open_files
from mmmodal.train.stage.arguments import arguments_of, half_precision, join_ranks
from mmmodal.train.stage.start import Start, find_start

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.samples.feature_cache.store import FeatureStore
    from mmmodal.train.recipe.recipe import Recipe

__all__ = ["Opened", "load_model", "open_stage"]


@dataclass(frozen=True)
class Opened:
    """What a stage works on."""

    start: Start
    arguments: TrainingArguments
    model: MMModalForConditionalGeneration
    dataset: PreparedDataset
    stores: dict[str, FeatureStore]
    """The features that are read instead of computed, for each modality that has any."""

    on_error: OnError
    """What becomes of a row that is found to be bad."""

    bad_rows: list[RecordError] = field(default_factory=list)
    """Those that were found and are left out."""

    checks: tuple[Any, ...] = ()
    """What is looked at when training begins."""


def open_stage(recipe: Recipe, run: Path) -> Opened:
    """Load the model, open the data, choose what trains, and fill the feature cache.

    Raises:
        MMModalError: whatever keeps the recipe from being run.
    """
    import torch
    from transformers import set_seed

    from mmmodal.train.loop.trainable import choose
    from mmmodal.train.stage.stored_features import store_features

    start = find_start(recipe)
    has_gpu = torch.cuda.is_available()
    arguments = arguments_of(recipe, run, has_gpu)  # before the model: ZeRO-3 spreads it on loading
    join_ranks(arguments)
    set_seed(recipe.seed)
    bad_rows: list[RecordError] = []
    on_error: OnError = "raise" if recipe.on_bad_sample == "refuse" else bad_rows.append
    files = open_files(recipe, on_error)  # before the weights, which take long to load
    model = load_model(start.base, recipe, arguments)
    checks = _ready_for_packs(model, recipe) if recipe.packing else ()
    dataset = PreparedDataset.of(recipe, files, model.processor, _context_length(model))
    choose(model, recipe.train.parts, recipe.train.lora)
    _hold(model, arguments)
    start.fill(model, recipe)
    stores = store_features(model, dataset, recipe, arguments, on_error)
    return Opened(start, arguments, model, dataset, stores, on_error, bad_rows, checks)


def load_model(
    source: str, recipe: Recipe, arguments: TrainingArguments
) -> MMModalForConditionalGeneration:
    """Load what the stage starts from, in the precision it is held in."""
    import torch

    from mmmodal.making.loading import load

    # Under autocast what trains is held as it was saved, in fp32, and only the rest is halved.
    half = half_precision(arguments)
    held = "auto" if arguments.deepspeed is None and half else half
    model = load(
        source,
        dtype=held or torch.float32,
        device=None if recipe.quantization else "cpu",  # quantized weights stay where they are made
        attn_implementation=recipe.attn_implementation,
        quantization=recipe.quantization,
    )
    model.processor.allow(recipe.limits)
    model.train()
    return model


def _ready_for_packs(model: MMModalForConditionalGeneration, recipe: Recipe) -> tuple[Any, ...]:
    """Let the language model keep the samples of a pack apart; returns what checks that it does."""
    from mmmodal.train.stage.pack_check import PackCheck, attend_by_sample, check_positions

    check_positions(model, min(recipe.max_tokens, _context_length(model) or recipe.max_tokens))
    if recipe.attn_implementation is None:
        attend_by_sample(model)
    return (PackCheck(),)


def _hold(model: Any, arguments: TrainingArguments) -> None:
    """Keep what trains in fp32 under autocast and the rest in half precision.

    DeepSpeed holds all in half precision, and fp32 copies of what trains.
    """
    half = half_precision(arguments)
    if arguments.deepspeed is None and half is not None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
            elif parameter.is_floating_point():  # what is quantized stays so
                parameter.data = parameter.to(half)


def _context_length(model: Any) -> int | None:
    length = getattr(model.config.text_config, "max_position_embeddings", None)
    return int(length) if length else None
