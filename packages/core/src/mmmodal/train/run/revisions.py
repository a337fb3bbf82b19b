"""The commits of the data sets of the Hub that a run reads, which stay those it began with."""

from __future__ import annotations

import json
from typing import TypeVar

from mmmodal.errors import CheckpointError
from mmmodal.records.hub import COMMIT, find_commit
from mmmodal.records.shards import hub_address
from mmmodal.train.recipe import Recipe
from mmmodal.train.recipe.data_source import DataSource
from mmmodal.train.run.folder import NOTED, RUN

__all__ = ["pinned"]

Named = tuple[str, str | None]
"""The path of a data set, and its `name`."""

Source = TypeVar("Source", bound=DataSource)


def pinned(recipe: Recipe, fresh: bool) -> Recipe:
    """Return a recipe whose data sets of the Hub are at commits, which its fingerprint then holds.

    A data set without a revision stays at the commit with which the run began, also if its main
    branch has moved since.

    Raises:
        RecordError: the Hub cannot be reached or refuses.
        CheckpointError: the note of the run is damaged.
    """
    noted = {} if fresh else _noted(recipe)
    data, held_out = (
        tuple(_pin(each, noted) for each in sources) for sources in (recipe.data, recipe.eval)
    )
    return recipe.model_copy(update={"data": data, "eval": held_out})


def _pin(source: Source, noted: dict[Named, str]) -> Source:
    address = hub_address(source.path, source.name)
    if address is None or (source.revision and COMMIT.fullmatch(source.revision)):
        return source
    known = None if source.revision else noted.get((source.path, source.name))
    commit = known or find_commit(address, source.revision)
    return source.model_copy(update={"revision": commit})


def _noted(recipe: Recipe) -> dict[Named, str]:
    """Return the commit of each data set that the run was begun with."""
    path = recipe.out / RUN / NOTED
    if not path.is_file():
        return {}
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise CheckpointError(f"{path} is damaged; start again with --fresh") from None
    entries = [*note.get("mix", []), *(note.get("eval") or [])]
    entries = [each for each in entries if isinstance(each, dict)]
    return {
        (each["path"], each.get("name")): each["revision"] for each in entries if "revision" in each
    }
