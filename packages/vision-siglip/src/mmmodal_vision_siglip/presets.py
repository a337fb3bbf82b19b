"""The published models by name: a table, and the encoder classes made of it."""

from __future__ import annotations

from mmmodal_vision_siglip.encoder import Siglip

__all__ = ["PRESETS"]

SOURCES = {
    "siglip-base-384": "google/siglip-base-patch16-384",
    "siglip-large-384": "google/siglip-large-patch16-384",
    "siglip-so400m-384": "google/siglip-so400m-patch14-384",
}


def _preset(name: str, source: str) -> type[Siglip]:
    title = "".join(word.capitalize() for word in name.split("-"))
    members = {"name": name, "source": source, "__doc__": f"{source}.", "__module__": __name__}
    return type(title, (Siglip,), members)


PRESETS = tuple(_preset(name, source) for name, source in SOURCES.items())

# Data workers that are spawned find a class by its name in its module.
globals().update({preset.__name__: preset for preset in PRESETS})
