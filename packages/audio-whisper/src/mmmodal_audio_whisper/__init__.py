"""Whisper's encoder as an audio encoder: `whisper` accepts any source; presets have their own."""

from __future__ import annotations

from mmmodal.authoring.parts import Encoder
from mmmodal.authoring.plugins import hookimpl
from mmmodal_audio_whisper.encoder import Whisper, WhisperOptions
from mmmodal_audio_whisper.formats.openai_names import to_openai
from mmmodal_audio_whisper.presets import PRESETS

__all__ = ["Whisper", "WhisperOptions", "to_openai"]


@hookimpl
def mmmodal_encoders() -> list[type[Encoder]]:
    """Return Whisper for any source, and the published models by name."""
    return [Whisper, *PRESETS]
