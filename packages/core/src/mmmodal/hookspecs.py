"""Every hook a plugin can implement.

A hook returns classes, and core decides when to build them; that of recipes returns folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from mmmodal.contracts import Backbone, Converter, Encoder, Modality, Projector

__all__ = [
    "ENTRY_POINT_GROUP",
    "hookimpl",
    "mmmodal_backbones",
    "mmmodal_converters",
    "mmmodal_encoders",
    "mmmodal_modalities",
    "mmmodal_projectors",
    "mmmodal_recipes",
]

ENTRY_POINT_GROUP = "mmmodal"

hookspec = pluggy.HookspecMarker("mmmodal")
"""Marks a function that says what a hook is; for packages that bring hooks of their own."""

hookimpl = pluggy.HookimplMarker("mmmodal")
"""Marks a plugin's function that implements a hook."""


@hookspec
def mmmodal_modalities() -> Iterable[type[Modality]]:  # type: ignore[empty-body]
    """Return the kinds of data this plugin brings."""


@hookspec
def mmmodal_encoders() -> Iterable[type[Encoder]]:  # type: ignore[empty-body]
    """Return the ways this plugin turns media items into features."""


@hookspec
def mmmodal_projectors() -> Iterable[type[Projector]]:  # type: ignore[empty-body]
    """Return the ways this plugin maps features to the language model's width."""


@hookspec
def mmmodal_backbones() -> Iterable[type[Backbone]]:  # type: ignore[empty-body]
    """Return the language models this plugin knows."""


@hookspec
def mmmodal_converters() -> Iterable[type[Converter]]:  # type: ignore[empty-body]
    """Return the formats of others' composed checkpoints this plugin can convert."""


@hookspec
def mmmodal_recipes() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return the folders of this plugin whose YAML files are recipes, named as the files are."""
