"""The step `export`."""

from mmmodal_datagen.steps.export.step import Export

__all__ = ["Export"]
