"""The step `visual-qa`."""

from mmmodal_datagen.steps.visual_qa.step import VisualQA

__all__ = ["VisualQA"]
