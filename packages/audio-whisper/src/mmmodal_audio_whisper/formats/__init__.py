"""The formats of Whisper's weights, told apart by the source; each is a module of this package."""

from mmmodal_audio_whisper.formats.recognition import open_checkpoint

__all__ = ["open_checkpoint"]
