"""The step `gate`."""

from mmmodal_datagen.steps.gate.step import Gate

__all__ = ["Gate"]
