"""Check whether a step of a recipe fits into memory, and its stored features onto the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmmodal.byte_sizes import readable
from mmmodal.contracts.encoder import collated, shape_of
from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import FeatureCacheError
from mmmodal.train.preflight.findings import Checked, Machine
from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.plan import Plan

if TYPE_CHECKING:
    from mmmodal.samples.collation import Sample
    from mmmodal.samples.dataset import PreparedDataset
    from mmmodal.samples.feature_cache.media import Medium
    from mmmodal.samples.preparer import Preparer
    from mmmodal.train.preflight.estimate import Step

__all__ = ["look_at_cache", "look_at_memory"]

SPARE = 0.9
"""The usable share of a GPU's memory; drivers and fragmentation take the rest."""


def look_at_memory(
    checked: Checked,
    recipe: Recipe,
    base: str,
    plan: Plan,
    preparer: Preparer,
    samples: Sequence[Sample],
) -> None:
    """Set the memory of a step: of the longest conversations, and of those of `max_tokens`."""
    from mmmodal.train.preflight.estimate import UnknownMemoryError, estimate_memory
    from mmmodal.train.preflight.zero_memory import Zero

    machine = checked.machine
    assert machine is not None
    zero = Zero.of(plan.deepspeed) if plan.deepspeed is not None else None
    settings: dict[str, Any] = {"half": plan.half, "zero": zero, "ranks": machine.ranks}
    checked.step = _largest_step(recipe, preparer, samples, checked.stored_widths)
    try:
        checked.memory = estimate_memory(recipe, base, checked.step, **settings)
    except UnknownMemoryError as error:
        checked.notes.append(f"the memory of a step is unknown: {error} does not run without data")
        return
    if checked.step.tokens < plan.max_tokens and not recipe.packing:
        wider = replace(checked.step, tokens=plan.max_tokens)
        checked.at_most = estimate_memory(recipe, base, wider, **settings)
    _compare(checked, machine)


def _largest_step(
    recipe: Recipe,
    preparer: Preparer,
    samples: Sequence[Sample],
    widths: Mapping[str, int],
) -> Step:
    """Return a batch of the longest measured conversation, or packs filled with it."""
    import torch

    from mmmodal.samples.feature_cache.stored import join_stored
    from mmmodal.train.preflight.estimate import Step

    longest = max(samples, key=lambda sample: len(sample.input_ids))
    length = len(longest.input_ids)
    times = max(1, recipe.max_tokens // length) if recipe.packing else 1
    features = {name: items * times for name, items in longest.features.items() if items}
    slots = {name: preparer.markers[name].slot for name in features}
    media = {}
    for name, items in features.items():
        encoder = preparer.encoders[name]
        if name in widths:
            shapes = [(*shape_of(encoder, item), widths[name]) for item in items]
            media[name] = join_stored([torch.empty(shape, device="meta") for shape in shapes])
        else:
            media[name] = collated(encoder, items)
    return Step(
        recipe.batch_size,
        recipe.max_tokens if recipe.packing else length,
        sum(label != IGNORE for label in longest.labels) / length,
        media,
        {name: times * longest.input_ids.count(slot) for name, slot in slots.items()},
        frozenset(widths),
    )


def look_at_cache(
    checked: Checked,
    recipe: Recipe,
    dataset: PreparedDataset,
    samples: Sequence[Sample],
    more: Sequence[Medium] = (),
) -> None:
    """Set the size of the features of all media, estimated from some; `more` are those besides.

    Raises:
        FeatureCacheError: they exceed the limit or the disk, even if the folder were empty.
    """
    from mmmodal.precision import read_dtype
    from mmmodal.samples.feature_cache.room import room_for

    widths = checked.stored_widths
    if recipe.feature_cache is None or not widths:
        return
    size = read_dtype(recipe.feature_cache_dtype).itemsize
    media = list(dict.fromkeys([*dataset.media(widths.keys()), *more]))
    total = 0.0
    for name, width in widths.items():
        encoder = dataset.preparer.encoders[name]
        items = [item for sample in samples for item in sample.features.get(name, ())]
        found = [math.prod(shape_of(encoder, item)) for item in items]
        mean = sum(found) / max(1, len(found))
        total += sum(medium.kind == name for medium in media) * mean * width * size
    checked.stored_media, checked.stored_bytes = len(media), round(total)
    room = room_for(recipe.feature_cache, recipe.feature_cache_limit)
    if total > room:
        raise FeatureCacheError(
            f"the features of {len(media):,} media take about {readable(total)}, but "
            f"{recipe.feature_cache} can hold only {readable(room)}; raise feature_cache_limit, "
            "make room, or train without feature_cache"
        )


def _compare(checked: Checked, machine: Machine) -> None:
    """Add a problem if a step exceeds the memory, and a note if a longer one would."""
    memory, most = checked.memory, checked.at_most
    if machine.memory is None or memory is None:
        return
    place = "a GPU" if machine.has_gpu else "this machine"
    limit = SPARE * machine.memory
    if memory.total > limit:
        checked.problems.append(
            f"a step takes {readable(memory.total)}, but {place} has {readable(machine.memory)}; "
            "lower batch_size or max_tokens, set gradient_checkpointing=true or "
            "deepspeed=zero3, or train with LoRA (`mmmodal train lora`)"
        )
    elif most is not None and most.total > limit:
        checked.notes.append(
            f"a step of conversations as long as max_tokens would take {readable(most.total)}, but "
            f"{place} has {readable(machine.memory)}"
        )
    for name in memory.unknown:
        checked.notes.append(f"the memory of the tower of {name!r} is unknown, and not included")
