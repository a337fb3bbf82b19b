"""The hooks that a plugin can implement.

A hook returns classes, of which core creates instances; `mmmodal_recipes` returns folders, and
`mmmodal_families` the kinds of parts that a package defines hooks for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from mmmodal.contracts import (
        Backbone,
        Converter,
        Encoder,
        Evaluator,
        Format,
        Modality,
        Projector,
    )
    from mmmodal.contracts.family import Family

__all__ = [
    "ENTRY_POINT_GROUP",
    "hookimpl",
    "mmmodal_backbones",
    "mmmodal_converters",
    "mmmodal_encoders",
    "mmmodal_evaluators",
    "mmmodal_families",
    "mmmodal_formats",
    "mmmodal_modalities",
    "mmmodal_projectors",
    "mmmodal_recipes",
]

ENTRY_POINT_GROUP = "mmmodal"

hookspec = pluggy.HookspecMarker("mmmodal")
"""Mark a function as the specification of a hook; for packages that define their own hooks."""

hookimpl = pluggy.HookimplMarker("mmmodal")
"""Mark a function of a plugin as the implementation of a hook."""


@hookspec
def mmmodal_modalities() -> Iterable[type[Modality]]:  # type: ignore[empty-body]
    """Return the modalities that this plugin provides."""


@hookspec
def mmmodal_encoders() -> Iterable[type[Encoder]]:  # type: ignore[empty-body]
    """Return the encoders that this plugin provides."""


@hookspec
def mmmodal_projectors() -> Iterable[type[Projector]]:  # type: ignore[empty-body]
    """Return the projectors that this plugin provides."""


@hookspec
def mmmodal_backbones() -> Iterable[type[Backbone]]:  # type: ignore[empty-body]
    """Return the backbones that this plugin provides."""


@hookspec
def mmmodal_converters() -> Iterable[type[Converter]]:  # type: ignore[empty-body]
    """Return the converters for checkpoints of other projects that this plugin provides."""


@hookspec
def mmmodal_formats() -> Iterable[type[Format]]:  # type: ignore[empty-body]
    """Return the formats of rows of data files that this plugin provides."""


@hookspec
def mmmodal_evaluators() -> Iterable[type[Evaluator]]:  # type: ignore[empty-body]
    """Return the evaluators of answers during training that this plugin provides."""


@hookspec
def mmmodal_recipes() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return the folders of this plugin's recipes: YAML files named `<recipe>.yaml`."""


@hookspec
def mmmodal_families() -> Iterable[Family]:  # type: ignore[empty-body]
    """Return the families of parts whose hooks this plugin's package defines, so that `mmmodal
    plugins` lists them and finds misspelt hooks."""
