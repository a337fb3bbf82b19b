"""The formats of Whisper's weights: one module for each, and their detection."""

from mmmodal_audio_whisper.formats.recognition import open_checkpoint

__all__ = ["open_checkpoint"]
