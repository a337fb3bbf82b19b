"""Steps and backends of all installed packages, found by name."""

from __future__ import annotations

import functools
from typing import Any

from mmmodal.authoring.parts import PartError, suggest
from mmmodal.authoring.plugins import Family, Registry
from mmmodal_datagen import hookspecs

__all__ = ["BACKENDS", "FAMILY", "KINDS", "find", "registry"]

KINDS = {
    "generators": "generator",
    "language_models": "language model",
    "recognisers": "recogniser",
    "translators": "translator",
}
"""The kinds of parts, and the word for one; the hook of a kind is `mmmodal_<kind>`."""

BACKENDS = {word.replace(" ", "_"): kind for kind, word in KINDS.items() if kind != "generators"}
"""The kinds of models, by the name that a step's `needs` has for one: `language_model`."""


FAMILY = Family(hookspecs, "mmmodal_datagen.contracts", KINDS)


@functools.cache
def registry() -> Registry:
    """Return the steps and backends of this process; plugins are loaded on the first call."""
    return Registry(FAMILY)


def find(kind: str, name: str) -> type[Any]:
    """Return the class of that name.

    Args:
        kind: one of `KINDS`.
        name: of the step or backend.

    Raises:
        PartError: no plugin that loads provides it.
        PluginError: two plugins provide it.
    """
    found = registry().get(kind, name)
    if found is None:
        failed = [plugin.name for plugin in registry().plugins if plugin.status == "failed"]
        maybe = f". See `mmmodal plugins`: {', '.join(failed)} failed to load" if failed else ""
        hint = suggest(name, registry().names(kind))
        raise PartError(f"unknown {KINDS[kind]} {name!r}{hint}{maybe}")
    return found.part
