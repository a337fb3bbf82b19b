"""The published models by name: a table, and an encoder class for each.

`whisper-large-v1` is `openai/whisper-large`: in openai-whisper `large` is large-v3, so that name
alone would be ambiguous.
"""

from __future__ import annotations

import re

from mmmodal.authoring.parts import Card
from mmmodal_audio_whisper.encoder import Whisper
from mmmodal_audio_whisper.sizes import SIZES

__all__ = ["PRESETS"]

OPENAI = {
    "whisper-tiny": ("openai/whisper-tiny", "tiny", "Apache-2.0"),
    "whisper-tiny.en": ("openai/whisper-tiny.en", "tiny", "Apache-2.0"),
    "whisper-base": ("openai/whisper-base", "base", "Apache-2.0"),
    "whisper-base.en": ("openai/whisper-base.en", "base", "Apache-2.0"),
    "whisper-small": ("openai/whisper-small", "small", "Apache-2.0"),
    "whisper-small.en": ("openai/whisper-small.en", "small", "Apache-2.0"),
    "whisper-medium": ("openai/whisper-medium", "medium", "Apache-2.0"),
    "whisper-medium.en": ("openai/whisper-medium.en", "medium", "Apache-2.0"),
    "whisper-large-v1": ("openai/whisper-large", "large-v1", "Apache-2.0"),
    "whisper-large-v2": ("openai/whisper-large-v2", "large-v2", "Apache-2.0"),
    "whisper-large-v3": ("openai/whisper-large-v3", "large-v3", "Apache-2.0"),
    "whisper-turbo": ("openai/whisper-large-v3-turbo", "large-v3-turbo", "MIT"),
}
"""The source, the size, and the licence in the model card on the Hub."""

MALAYSIAN = {
    "malaysian-whisper-tiny": "tiny",
    "malaysian-whisper-base": "base",
    "malaysian-whisper-small": "small",  # the paper's
    "malaysian-whisper-small-v2": "small",
    "malaysian-whisper-medium-v2": "medium",
    "malaysian-whisper-large-v3-turbo": "large-v3-turbo",
}
"""Mesolitica's fine-tuned models; their model cards state no licence."""

PUBLISHED = OPENAI | {
    name: (f"mesolitica/{name}", size, "NOASSERTION") for name, size in MALAYSIAN.items()
}


def _preset(name: str, source: str, size: str, licence: str) -> type[Whisper]:
    title = "".join(word.capitalize() for word in re.split(r"[-.]", name))
    card = Card(SIZES[size].width, SIZES[size].positions, "30 s", licence)
    members = {"name": name, "source": source, "card": card}
    return type(title, (Whisper,), {**members, "__doc__": f"{source}.", "__module__": __name__})


PRESETS = tuple(_preset(name, *published) for name, published in PUBLISHED.items())

# Spawned data workers find a class by its name in its module.
globals().update({preset.__name__: preset for preset in PRESETS})
