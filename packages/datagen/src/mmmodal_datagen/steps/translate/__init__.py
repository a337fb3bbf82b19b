"""The step `translate`."""

from mmmodal_datagen.steps.translate.step import Translate

__all__ = ["Translate"]
