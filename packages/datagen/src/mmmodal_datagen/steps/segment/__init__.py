"""The step `segment`."""

from mmmodal_datagen.steps.segment.step import Segment

__all__ = ["Segment"]
