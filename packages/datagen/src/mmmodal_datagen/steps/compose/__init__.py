"""The step `compose`."""

from mmmodal_datagen.steps.compose.step import Compose

__all__ = ["Compose"]
