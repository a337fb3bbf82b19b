"""Look at the records that a recipe evaluates: at bad ones, and at what they take."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mmmodal.errors import RecordError
from mmmodal.train.preflight.findings import HeldOutCounts
from mmmodal.train.stage.held_out import draw

if TYPE_CHECKING:
    from mmmodal.samples.feature_cache.media import Medium
    from mmmodal.samples.preparer import Preparer
    from mmmodal.train.preflight.findings import Checked
    from mmmodal.train.recipe import Recipe
    from mmmodal.train.stage.plan import Plan

__all__ = ["look_at_held_out"]


def look_at_held_out(
    checked: Checked, recipe: Recipe, preparer: Preparer, plan: Plan
) -> tuple[list[RecordError], list[Medium]]:
    """Set the counts of evaluations after preparing all their records.

    Return the bad rows, and the media whose features the recipe stores.

    Raises:
        MMModalError: a file or an evaluator cannot be used.
    """
    errors: list[RecordError] = []
    drawn = draw(recipe, errors.append)
    if drawn is None:
        return errors, []
    checked.notes += drawn.notes
    dataset, tokens = drawn.dataset(preparer, plan), dict[int, int]()
    for number in drawn.rows:
        try:
            with warnings.catch_warnings(action="ignore"):
                tokens[number] = len(dataset[number].input_ids)
        except RecordError as error:
            errors.append(error)
    if not tokens:
        checked.problems.append("none of the records drawn for evaluations can be used")
        return errors, []
    messages = [m for number in tokens for m in drawn.rows[number].record.messages]
    checked.held_out = HeldOutCounts(
        drawn.number,
        len(tokens),
        sum(tokens.values()),
        sum(message.role == "user" for message in messages) if drawn.evaluators else 0,
        tuple(drawn.metrics(recipe, tokens)),
        recipe.evaluates_every,
    )
    return errors, dataset.media(checked.stored_widths.keys(), drawn.rows)
