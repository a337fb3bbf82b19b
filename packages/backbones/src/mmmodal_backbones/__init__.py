"""Language models by name, as presets of core's `auto` backbone, converters, and recipes."""

from __future__ import annotations

from pathlib import Path

import mmmodal
from mmmodal_backbones.converters import CONVERTERS
from mmmodal_backbones.presets import BACKBONES

__all__ = ["BACKBONES", "CONVERTERS"]


@mmmodal.hookimpl
def mmmodal_backbones() -> list[type[mmmodal.Backbone]]:
    """Return a backbone class for each preset."""
    return BACKBONES


@mmmodal.hookimpl
def mmmodal_converters() -> list[type[mmmodal.Converter]]:
    """Return the converters of the paper's published models and of LLaVA."""
    return CONVERTERS


@mmmodal.hookimpl
def mmmodal_recipes() -> list[Path]:
    """Return the folder of the recipes of the paper's stages for its language models."""
    return [Path(__file__).parent / "recipes"]
