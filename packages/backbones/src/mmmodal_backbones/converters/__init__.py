"""Formats of other projects' composed checkpoints: one module for each."""

from mmmodal_backbones.converters.llava import Llava
from mmmodal_backbones.converters.paper import Paper

__all__ = ["CONVERTERS", "Llava", "Paper"]

CONVERTERS = [Paper, Llava]
