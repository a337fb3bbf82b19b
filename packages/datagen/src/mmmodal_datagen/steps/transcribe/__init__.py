"""The step `transcribe`."""

from mmmodal_datagen.steps.transcribe.step import Transcribe

__all__ = ["Transcribe"]
