"""Scorers of all installed packages, found by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from mmmodal.authoring.parts import PartError, suggest, validate
from mmmodal.authoring.plugins import Family, Registry
from mmmodal_eval import hookspecs
from mmmodal_eval.contracts import Scorer

__all__ = ["FAMILY", "registry", "scorer", "scorer_class"]

FAMILY = Family(hookspecs, "mmmodal_eval.contracts", {"scorers": "scorer"})


@functools.cache
def registry() -> Registry:
    """Return the scorers of this process; plugins are loaded on the first call."""
    return Registry(FAMILY)


def scorer_class(name: str) -> type[Scorer]:
    """Return the class of the scorer of that name.

    Raises:
        PartError: no plugin that loads provides it.
        PluginError: two plugins provide it.
    """
    found = registry().get("scorers", name)
    if found is None:
        failed = [plugin.name for plugin in registry().plugins if plugin.status == "failed"]
        maybe = f". See `mmmodal plugins`: {', '.join(failed)} failed to load" if failed else ""
        hint = suggest(name, registry().names("scorers"))
        raise PartError(f"unknown scorer {name!r}{hint}{maybe}")
    part: type[Scorer] = found.part
    return part


def scorer(name: str, options: Mapping[str, Any] | None = None) -> Scorer:
    """Return the scorer of that name.

    Raises:
        PartError: no plugin that loads provides it.
        PluginError: two plugins provide it.
        ConfigError: an option is unknown, or its value is not valid.
    """
    part = scorer_class(name)
    return part(validate(part.Options, dict(options or {}), f"options of the scorer {name!r}"))
