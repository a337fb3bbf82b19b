"""The published models by name: a table, and the encoder classes made of it."""

from __future__ import annotations

from mmmodal_audio_whisper.encoder import Whisper

__all__ = ["PRESETS"]

SOURCES = {
    "whisper-tiny": "openai/whisper-tiny",
    "whisper-base": "openai/whisper-base",
    "whisper-small": "openai/whisper-small",
    "whisper-medium": "openai/whisper-medium",
    "whisper-large-v3": "openai/whisper-large-v3",
    "whisper-turbo": "openai/whisper-large-v3-turbo",
}


def _preset(name: str, source: str) -> type[Whisper]:
    title = "".join(word.capitalize() for word in name.split("-"))
    members = {"name": name, "source": source, "__doc__": f"{source}.", "__module__": __name__}
    return type(title, (Whisper,), members)


PRESETS = tuple(_preset(name, source) for name, source in SOURCES.items())

# Data workers that are spawned find a class by its name in its module.
globals().update({preset.__name__: preset for preset in PRESETS})
