"""The step `relate`."""

from mmmodal_datagen.steps.relate.step import Relate

__all__ = ["Relate"]
