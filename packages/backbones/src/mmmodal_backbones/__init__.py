"""Language models by name, and the paper's recipes: presets over core's `auto` backbone."""

from __future__ import annotations

from pathlib import Path

import mmmodal
from mmmodal_backbones.converters import CONVERTERS
from mmmodal_backbones.presets import BACKBONES

__all__ = ["BACKBONES", "CONVERTERS"]


@mmmodal.hookimpl
def mmmodal_backbones() -> list[type[mmmodal.Backbone]]:
    """The presets, as classes."""
    return BACKBONES


@mmmodal.hookimpl
def mmmodal_converters() -> list[type[mmmodal.Converter]]:
    """The paper's published models, and LLaVA."""
    return CONVERTERS


@mmmodal.hookimpl
def mmmodal_recipes() -> list[Path]:
    """The paper's stages for the paper's language models."""
    return [Path(__file__).parent / "recipes"]
