"""Look at everything that a stage needs, and say what it will take, without training."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmmodal.conversation.rendering import IGNORE
from mmmodal.data.prepared import PreparedDataset
from mmmodal.errors import MMModalError, RecordError
from mmmodal.train.checked import Checked, Lengths, Machine
from mmmodal.train.recipe import Recipe, deepspeed_config
from mmmodal.train.start import find_start

if TYPE_CHECKING:
    from mmmodal.data.collation import Sample
    from mmmodal.model.processing import MMModalProcessor
    from mmmodal.train.estimate import Step

__all__ = ["check_recipe"]

MEASURED = 512
"""Conversations that are prepared to learn their lengths, of the first epoch's order."""

TOLD = 20
"""Problems that are told one by one."""

SPARE = 0.9
"""The share of a GPU's memory that can be planned with: drivers and fragments take the rest."""


def check_recipe(recipe: Recipe, machine: Machine | None = None) -> Checked:
    """Look at parts, data and memory; all that stands against the stage is in `problems`.

    Raises:
        MMModalError: what is wrong is such that nothing further can be looked at: no model.
    """
    from mmmodal.loading import load_processor
    from mmmodal.train.reporting import check_reporters
    from mmmodal.train.run_folder import find_run

    checked = Checked(machine=machine or Machine.found())
    with _noting(checked):
        find_run(recipe, fresh=False)
    with _noting(checked):
        check_reporters(recipe.report_to)
    base = find_start(recipe).base
    processor = load_processor(base)
    with _noting(checked):
        _look_at_model(checked, recipe, base)
    dataset = _open(checked, recipe, processor, _positions(base))
    if dataset is not None and not checked.problems:
        samples = _prepare(checked, recipe, dataset)
        if samples:
            _look_at_steps(checked, recipe)
            with _noting(checked):
                _look_at_memory(checked, recipe, base, processor, samples)
    return checked


@contextlib.contextmanager
def _noting(checked: Checked) -> Iterator[None]:
    """Make a problem of a refusal, and go on."""
    try:
        yield
    except MMModalError as error:
        checked.problems.append(str(error))


def _positions(base: str) -> int | None:
    from mmmodal.model.configuration import MMModalConfig

    config = MMModalConfig.from_pretrained(base).text_config
    length = getattr(config, "max_position_embeddings", None)
    return int(length) if length else None


def _look_at_model(checked: Checked, recipe: Recipe, base: str) -> None:
    from mmmodal.train.skeleton import skeleton, trained_rows
    from mmmodal.train.trainable import trained_counts

    model = skeleton(base, recipe.train)
    checked.trained = trained_counts(model)
    if rows := trained_rows(model, recipe.train):
        checked.trained["markers"] = rows * model.config.text_config.hidden_size
    positions = _positions(base)
    if positions is not None and positions < recipe.max_tokens:
        checked.notes.append(
            f"the language model has {positions:,} positions, so that conversations are cut to "
            f"them, not to max_tokens ({recipe.max_tokens:,})"
        )
    if recipe.made_for is not None:
        checked.notes += _other_parts(recipe, model.config)


def _other_parts(recipe: Recipe, config: Any) -> Iterator[str]:
    """Say which parts are others than those the recipe was made for."""
    from mmmodal.plugins import registry

    assert recipe.made_for is not None
    provided = registry().get("backbones", recipe.made_for.backbone)
    source = getattr(config.text_config, "_name_or_path", "")
    if provided is not None and source != provided.part.source:
        yield (
            f"the recipe was made for the language model {recipe.made_for.backbone} "
            f"({provided.part.source}); this one is {source or 'of unknown origin'}"
        )
    for name in recipe.made_for.encoders.keys() - set(config.modality_names):
        yield f"the recipe was made for a model that takes {name!r}; this one does not"


def _open(
    checked: Checked, recipe: Recipe, processor: MMModalProcessor, positions: int | None
) -> PreparedDataset | None:
    """Read every row of every file; the first that are wrong are told one by one."""
    errors: list[RecordError] = []
    dataset = None
    with _noting(checked):
        dataset = PreparedDataset.open(recipe, processor, positions, errors.append)
    _tell_rows(checked, recipe, errors)
    if dataset is not None:
        pairs = zip(recipe.data, dataset.mixture.sizes, dataset.mixture.counts, strict=True)
        checked.datasets = [
            {"path": str(s.path), "records": size, "weight": s.weight, "in_an_epoch": count}
            for s, size, count in pairs
        ]
        checked.samples = len(dataset.mixture)
    return dataset


def _tell_rows(checked: Checked, recipe: Recipe, errors: Sequence[RecordError]) -> None:
    """Bad rows stand against a stage that refuses them; one that skips them goes without."""
    told = checked.problems if recipe.on_bad_sample == "refuse" else checked.notes
    told += [str(error) for error in errors[:TOLD]]
    if len(errors) > TOLD:
        told.append(f"and {len(errors) - TOLD:,} more; see `mmmodal data check`")


def _prepare(checked: Checked, recipe: Recipe, dataset: PreparedDataset) -> list[Sample]:
    """Prepare conversations as training does; return those that could be."""
    samples, errors, shortened = [], [], 0
    for number in dataset.mixture.epoch(0)[:MEASURED].tolist():
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                samples.append(dataset[number])
            shortened += bool(told)
        except RecordError as error:
            errors.append(error)
    _tell_rows(checked, recipe, errors)
    if samples:
        longest = max(samples, key=lambda sample: len(sample.input_ids))
        total = sum(len(sample.input_ids) for sample in samples)
        checked.lengths = Lengths(
            len(samples),
            total / len(samples),
            len(longest.input_ids),
            longest.where,
            shortened,
        )
    return samples


def _look_at_steps(checked: Checked, recipe: Recipe) -> None:
    machine = checked.machine
    assert machine is not None and checked.tokens is not None
    rows = checked.samples
    if recipe.packing:
        rows = math.ceil(checked.tokens / recipe.max_tokens)  # about: packs are hardly ever full
    batches = math.ceil(rows / (recipe.batch_size * machine.ranks))
    updates = max(1, math.ceil(batches / recipe.accumulation))
    checked.steps = recipe.max_steps or math.ceil(recipe.epochs * updates)


def _look_at_memory(
    checked: Checked,
    recipe: Recipe,
    base: str,
    processor: MMModalProcessor,
    samples: Sequence[Sample],
) -> None:
    """Estimate the step of the longest conversations, and that of the longest there could be."""
    import torch

    from mmmodal.train.estimate import estimate_memory
    from mmmodal.train.zero_memory import Zero

    machine = checked.machine
    assert machine is not None
    config = deepspeed_config(recipe.deepspeed, machine.has_gpu)
    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if machine.has_gpu else "fp32"
    half = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[precision]
    zero = Zero.of(config) if config is not None else None
    settings: dict[str, Any] = {"half": half, "zero": zero, "ranks": machine.ranks}
    checked.step = _largest_step(recipe, processor, samples)
    checked.memory = estimate_memory(recipe, base, checked.step, **settings)
    longest = min(recipe.max_tokens, _positions(base) or recipe.max_tokens)
    if checked.step.tokens < longest and not recipe.packing:
        wider = replace(checked.step, tokens=longest)
        checked.at_most = estimate_memory(recipe, base, wider, **settings)
    _compare(checked, machine)


def _largest_step(recipe: Recipe, processor: MMModalProcessor, samples: Sequence[Sample]) -> Step:
    """Return a batch of the longest conversation that was met, or packs of it."""
    from mmmodal.train.estimate import Step

    longest = max(samples, key=lambda sample: len(sample.input_ids))
    tokens = recipe.max_tokens if recipe.packing else len(longest.input_ids)
    features = {name: items for name, items in longest.features.items() if items}
    slots = {name: processor.markers[name].slot for name in features}
    return Step(
        recipe.batch_size,
        tokens,
        sum(label != IGNORE for label in longest.labels) / len(longest.labels),
        {name: processor.encoders[name].collate(items) for name, items in features.items()},
        {name: longest.input_ids.count(slot) for name, slot in slots.items()},
    )


def _compare(checked: Checked, machine: Machine) -> None:
    """Say what does not fit."""
    memory, most = checked.memory, checked.at_most
    if machine.memory is None or memory is None:
        return
    place = "a GPU" if machine.has_gpu else "this machine"
    limit = SPARE * machine.memory
    if memory.total > limit:
        checked.problems.append(
            f"a step takes {_gb(memory.total)} and {place} has {_gb(machine.memory)}; "
            "make batch_size or max_tokens smaller, set gradient_checkpointing=true, "
            "deepspeed=zero3, or train by adapters (`mmmodal train lora`)"
        )
    elif most is not None and most.total > limit:
        checked.notes.append(
            f"a step of conversations as long as max_tokens would take {_gb(most.total)}, and "
            f"{place} has {_gb(machine.memory)}"
        )
    for name in memory.unknown:
        checked.notes.append(f"what the tower of {name!r} takes is not known, and not counted")


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
