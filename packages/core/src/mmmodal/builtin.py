"""The parts that ship with core, found through an entry point like any other plugin's."""

from __future__ import annotations

from pathlib import Path

from mmmodal.backbones.auto import AutoBackbone
from mmmodal.contracts import Backbone, Modality, Projector
from mmmodal.hookspecs import hookimpl
from mmmodal.modalities.audio import Audio
from mmmodal.modalities.image import Image
from mmmodal.projectors.conv import Conv
from mmmodal.projectors.linear import Linear
from mmmodal.projectors.mlp import MLP
from mmmodal.projectors.perceiver import Perceiver
from mmmodal.projectors.pixel_shuffle import PixelShuffle


@hookimpl
def mmmodal_modalities() -> list[type[Modality]]:
    """Images and audio."""
    return [Image, Audio]


@hookimpl
def mmmodal_projectors() -> list[type[Projector]]:
    """The projectors of the paper, the plain linear one, and two that make fewer tokens."""
    return [Linear, MLP, Conv, PixelShuffle, Perceiver]


@hookimpl
def mmmodal_backbones() -> list[type[Backbone]]:
    """Any causal language model of transformers."""
    return [AutoBackbone]


@hookimpl
def mmmodal_recipes() -> list[Path]:
    """The two stages of the paper, and the second one by adapters."""
    return [Path(__file__).parent / "train" / "recipe" / "recipes"]
