"""The step `import`."""

from mmmodal_datagen.steps.import_.step import Import

__all__ = ["Import"]
