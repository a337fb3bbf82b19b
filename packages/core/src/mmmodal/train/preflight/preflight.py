"""Look at everything that a stage needs, and say what it will take, without training."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MMModalError, RecordError
from mmmodal.samples.dataset import PreparedDataset
from mmmodal.train.loop.feed import bad_records, plan_batches
from mmmodal.train.preflight.findings import Checked, Lengths, Machine
from mmmodal.train.preflight.room import look_at_cache, look_at_memory
from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.inputs import open_data, prepared_dataset
from mmmodal.train.stage.plan import Plan
from mmmodal.train.stage.start import find_start

if TYPE_CHECKING:
    from mmmodal.samples.collation import Sample
    from mmmodal.samples.preparer import Preparer

__all__ = ["check_recipe"]

MEASURED = 512
"""Conversations that are prepared to learn their lengths, of the first epoch's order."""

TOLD = 20
"""Problems that are told one by one."""


def check_recipe(recipe: Recipe, machine: Machine | None = None) -> Checked:
    """Look at parts, data and memory; all that stands against the stage is in `problems`.

    Raises:
        MMModalError: what is wrong is such that nothing further can be looked at: no model.
    """
    from mmmodal.making.loading import load_processor
    from mmmodal.train.run.folder import find_run
    from mmmodal.train.run.reporters import check_reporters

    machine = machine or Machine.found()
    checked = Checked(machine=machine)
    with _noting(checked):
        find_run(recipe, fresh=False)
    with _noting(checked):
        check_reporters(recipe.report_to)
    base = find_start(recipe).base
    preparer = load_processor(base).preparer
    preparer.allow(recipe.limits)
    plan = None
    with _noting(checked):
        plan = Plan.of(recipe, base, machine.has_gpu)
    if plan is None:
        return checked
    with _noting(checked):
        _look_at_model(checked, recipe, base, plan)
    dataset = _open(checked, recipe, preparer, plan)
    if dataset is not None and not checked.problems:
        found = _prepare(checked, recipe, dataset)
        samples = [sample for sample in found.values() if sample is not None]
        if samples:
            lengths = {n: len(s.input_ids) if s is not None else 0 for n, s in found.items()}
            _look_at_steps(checked, recipe, dataset, lengths)
            with _noting(checked):
                look_at_memory(checked, recipe, base, plan, preparer, samples)
            with _noting(checked):
                look_at_cache(checked, recipe, dataset, samples)
    return checked


@contextlib.contextmanager
def _noting(checked: Checked) -> Iterator[None]:
    """Make a problem of a refusal, and go on."""
    try:
        yield
    except MMModalError as error:
        checked.problems.append(str(error))


def _look_at_model(checked: Checked, recipe: Recipe, base: str, plan: Plan) -> None:
    from mmmodal.train.loop.trainable import frozen_towers, trained_counts
    from mmmodal.train.preflight.skeleton import skeleton, trained_rows

    model = skeleton(base, recipe.train)
    checked.trained = trained_counts(model)
    if recipe.feature_cache is not None:
        widths = {name: model.model.encoders[name].width for name in frozen_towers(model)}
        checked.stored_widths = widths
    if rows := trained_rows(model, recipe.train):
        checked.trained["markers"] = rows * model.config.text_config.hidden_size
    if plan.positions < recipe.max_tokens:
        checked.notes.append(
            f"the language model has {plan.positions:,} positions, so that conversations are cut "
            f"to them, not to max_tokens ({recipe.max_tokens:,})"
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
    checked: Checked, recipe: Recipe, preparer: Preparer, plan: Plan
) -> PreparedDataset | None:
    """Read every row of every file; the first that are wrong are told one by one."""
    errors: list[RecordError] = []
    dataset = None
    with _noting(checked):
        files = open_data(recipe, errors.append)
        dataset = prepared_dataset(recipe, files, preparer, plan.max_tokens)
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


def _prepare(
    checked: Checked, recipe: Recipe, dataset: PreparedDataset
) -> dict[int, Sample | None]:
    """Prepare conversations as training does; return each by its number, None if it is bad."""
    found: dict[int, Sample | None] = {}
    errors, shortened = [], set()
    order = dataset.mixture.epoch(0)[:MEASURED].tolist()
    for number in dict.fromkeys(order):  # with a weight some come several times
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                found[number] = dataset[number]
            if told:
                shortened.add(number)
        except RecordError as error:
            found[number] = None
            errors.append(error)
    _tell_rows(checked, recipe, errors)
    samples = [sample for sample in map(found.__getitem__, order) if sample is not None]
    if samples:
        longest = max(samples, key=lambda sample: len(sample.input_ids))
        total = sum(len(sample.input_ids) for sample in samples)
        checked.lengths = Lengths(
            len(samples),
            total / len(samples),
            len(longest.input_ids),
            longest.where,
            sum(number in shortened for number in order),
        )
    return found


def _look_at_steps(
    checked: Checked, recipe: Recipe, dataset: PreparedDataset, found: Mapping[int, int]
) -> None:
    """Plan the run as training does; records that were not measured are as long as those that were.

    Args:
        checked: what takes the number of steps, and how full packs are.
        recipe: what is planned.
        dataset: its records.
        found: the length of each record that was measured, by its number; 0 where it is bad.
    """
    import numpy as np

    machine = checked.machine
    assert machine is not None
    mixture, lengths = dataset.mixture, None
    if recipe.packing:
        known = np.array([length for length in found.values() if length], np.int32)
        lengths = np.random.default_rng(recipe.seed).choice(known, len(dataset))
        lengths[list(found)] = list(found.values())
        mixture = mixture.without(bad_records(lengths))
    plan = plan_batches(recipe, mixture, lengths)
    checked.steps = recipe.max_steps or plan.steps(machine.ranks * recipe.accumulation)
    if recipe.packing:
        checked.packs, checked.utilisation = plan.total_packs, plan.utilisation
