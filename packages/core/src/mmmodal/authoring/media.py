"""Sources of media, their limits, and images and sound as core decodes them."""

from mmmodal.limits import LimitSettings
from mmmodal.media.limits import Limits
from mmmodal.media.reading import decoding, looks_like, read_media
from mmmodal.media.source import Source, find_source, open_source
from mmmodal.modalities.audio import HIGHEST_RATE, LOUDEST, LOWEST_RATE, Audio, Waveform
from mmmodal.modalities.image import Image, ImageLimits
from mmmodal.modalities.sound.forms import open_sound
from mmmodal.modalities.sound.recording import AudioLimits, Sound

__all__ = [
    "HIGHEST_RATE",
    "LOUDEST",
    "LOWEST_RATE",
    "Audio",
    "AudioLimits",
    "Image",
    "ImageLimits",
    "LimitSettings",
    "Limits",
    "Sound",
    "Source",
    "Waveform",
    "decoding",
    "find_source",
    "looks_like",
    "open_sound",
    "open_source",
    "read_media",
]
