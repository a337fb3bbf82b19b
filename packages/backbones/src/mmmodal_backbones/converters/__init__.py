"""Formats of others' composed checkpoints, one module each; the encoders are found by name."""

from mmmodal_backbones.converters.llava import Llava
from mmmodal_backbones.converters.paper import Paper

__all__ = ["CONVERTERS", "Llava", "Paper"]

CONVERTERS = [Paper, Llava]
