"""Check everything that a stage needs, and estimate its requirements, without training."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.conversation.differences import differences
from mmmodal.errors import MMModalError, RecordError, TemplateWarning
from mmmodal.records.dataset import RecordDataset
from mmmodal.samples.dataset import PreparedDataset
from mmmodal.train.loop.feed import bad_records, plan_batches
from mmmodal.train.preflight.excerpt import Excerpt, StreamExcerpt
from mmmodal.train.preflight.findings import Checked, Lengths, Machine
from mmmodal.train.preflight.held_out import look_at_held_out
from mmmodal.train.preflight.room import look_at_cache, look_at_memory
from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.inputs import combined, open_data
from mmmodal.train.stage.plan import Plan
from mmmodal.train.stage.start import find_start

if TYPE_CHECKING:
    from mmmodal.samples.collation import Sample
    from mmmodal.samples.feature_cache.media import Medium
    from mmmodal.samples.preparer import Preparer

__all__ = ["check_recipe"]

MEASURED = 512
"""The number of conversations to measure, from the beginning of the first epoch."""

LISTED = 20
"""The number of bad rows that are listed one by one."""


def check_recipe(recipe: Recipe, machine: Machine | None = None) -> Checked:
    """Return the check of a recipe's parts, data and memory, with all `problems`.

    Raises:
        MMModalError: the model cannot be read, so that nothing else can be checked.
    """
    from mmmodal.making.loading import load_processor
    from mmmodal.train.run.folder import find_run
    from mmmodal.train.run.reporters import check_reporters
    from mmmodal.train.run.revisions import pinned

    machine = machine or Machine.found()
    checked = Checked(machine=machine)
    with _noting(checked):
        recipe = pinned(recipe, fresh=False)
        find_run(recipe, fresh=False)
    with _noting(checked):
        check_reporters(recipe.report_to)
    base = find_start(recipe).base
    preparer = load_processor(base).preparer
    preparer.allow(recipe.limits)
    preparer.learn(recipe.thoughts, recipe.answers)
    checked.notes += map(str, differences(preparer.renderer))
    plan = None
    with _noting(checked):
        plan = Plan.of(recipe, base, machine.has_gpu)
    if plan is None:
        return checked
    with _noting(checked):
        _look_at_model(checked, recipe, base, plan)
    dataset = _open(checked, recipe, preparer, plan)
    held_out: list[Medium] = []
    with _noting(checked):
        errors, held_out = look_at_held_out(checked, recipe, preparer, plan)
        _tell_rows(checked, recipe, errors)
    if dataset is not None and not checked.problems:
        _look_at_samples(checked, recipe, base, plan, dataset, held_out)
    return checked


@contextlib.contextmanager
def _noting(checked: Checked) -> Iterator[None]:
    """Add an error inside to the problems, and continue."""
    try:
        yield
    except MMModalError as error:
        checked.problems.append(str(error))


def _look_at_samples(
    checked: Checked,
    recipe: Recipe,
    base: str,
    plan: Plan,
    dataset: PreparedDataset | StreamExcerpt,
    held_out: Sequence[Medium],
) -> None:
    """Prepare the first conversations, run the parts on them, and count what all would take.

    `held_out` are the media of evaluations.
    """
    from mmmodal.train.preflight.rehearsal import rehearse

    found = _prepare(checked, recipe, dataset, _first(dataset))
    usable = {number: sample for number, sample in found.items() if sample is not None}
    if not usable:
        checked.problems.append("none of the first conversations can be used")
        return
    if isinstance(dataset, PreparedDataset):
        lengths = {n: len(s.input_ids) if s is not None else 0 for n, s in found.items()}
        _look_at_steps(checked, recipe, dataset, lengths)
    else:
        checked.steps = recipe.max_steps
    at_fault = list(rehearse(base, dataset, usable, checked.trained))
    checked.problems += at_fault
    if not at_fault:  # else the memory of the parts is as unknown as what they return
        samples = list(usable.values())
        with _noting(checked):
            look_at_memory(checked, recipe, base, plan, dataset.preparer, samples)
        if isinstance(dataset, PreparedDataset):
            with _noting(checked):
                look_at_cache(checked, recipe, dataset, samples, held_out)


def _first(dataset: PreparedDataset | StreamExcerpt) -> list[int]:
    """Return the numbers of the first conversations, of which weights may repeat some."""
    if isinstance(dataset, PreparedDataset):
        return dataset.mixture.epoch(0)[:MEASURED].tolist()  # type: ignore[no-any-return]
    return list(range(len(dataset.found)))


def _look_at_model(checked: Checked, recipe: Recipe, base: str, plan: Plan) -> None:
    from mmmodal.train.loop.trainable import frozen_towers, random_and_frozen, trained_counts
    from mmmodal.train.preflight.skeleton import skeleton, trained_rows
    from mmmodal.train.stage.pack_check import check_positions, check_separable

    model = skeleton(base, recipe.train)
    if recipe.packing:
        check_separable(model.get_decoder())  # type: ignore[arg-type]
        check_positions(model, plan.max_tokens)
    checked.trained = trained_counts(model)
    checked.notes += random_and_frozen(model)
    if recipe.feature_cache is not None:
        widths = {name: model.model.encoders[name].width for name in frozen_towers(model)}
        checked.stored_widths = widths
    if rows := trained_rows(model, recipe.train):
        checked.trained["markers"] = rows * model.model.width
    if plan.positions < recipe.max_tokens:
        checked.notes.append(
            f"the language model has only {plan.positions:,} positions, which limit conversations "
            f"instead of max_tokens ({recipe.max_tokens:,})"
        )
    if recipe.made_for is not None:
        checked.notes += _other_parts(recipe, model.config)


def _other_parts(recipe: Recipe, config: Any) -> Iterator[str]:
    """Yield the differences from the parts that the recipe was made for."""
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
        yield f"the recipe was made for a model with modality {name!r}, which this one lacks"


def _open(
    checked: Checked, recipe: Recipe, preparer: Preparer, plan: Plan
) -> PreparedDataset | StreamExcerpt | None:
    """Return the open data files after reading every row of those that are not streamed.

    The first bad rows are listed.
    """
    errors: list[RecordError] = []
    dataset = None
    with _noting(checked):
        files = open_data(recipe, errors.append)
        dataset = combined(recipe, files, preparer, plan.max_tokens)
    _tell_rows(checked, recipe, errors)
    if dataset is None:
        return None
    if isinstance(dataset, PreparedDataset):
        checked.samples = len(dataset.mixture)
        _list_data(checked, recipe, dataset.mixture.sizes, dataset.mixture.counts)
        return dataset
    unknown = [None] * len(recipe.data)
    sizes = [len(file) if isinstance(file, RecordDataset) else None for file in files]
    _list_data(checked, recipe, sizes, unknown)
    return StreamExcerpt.of(dataset, MEASURED)


def _list_data(
    checked: Checked, recipe: Recipe, sizes: Iterable[int | None], counts: Iterable[int | None]
) -> None:
    """Set the records of each file, in all and in an epoch; None: not known."""
    checked.datasets = [
        {"path": str(s.path), "records": size, "weight": s.weight, "in_an_epoch": count}
        for s, size, count in zip(recipe.data, sizes, counts, strict=True)
    ]


def _tell_rows(checked: Checked, recipe: Recipe, errors: Sequence[RecordError]) -> None:
    """Add bad rows to the problems if the recipe refuses them, or to the notes if it skips them."""
    findings = checked.problems if recipe.on_bad_sample == "refuse" else checked.notes
    findings += [str(error) for error in errors[:LISTED]]
    if len(errors) > LISTED:
        findings.append(f"and {len(errors) - LISTED:,} more bad rows; see `mmmodal data check`")


def _prepare(
    checked: Checked, recipe: Recipe, dataset: Excerpt, order: Sequence[int]
) -> dict[int, Sample | None]:
    """Return prepared conversations by number, None for a bad one."""
    found: dict[int, Sample | None] = {}
    errors, shortened = [], set()
    for number in dict.fromkeys(order):  # with weights, some numbers are repeated
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found[number] = dataset[number]
            if any(not issubclass(each.category, TemplateWarning) for each in caught):
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
    """Set the numbers of steps and packs; unmeasured records get the lengths of measured ones.

    Args:
        checked: the check to update.
        recipe: the recipe.
        dataset: the records of the recipe.
        found: the length of each measured record by number; 0 for a bad one.
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
