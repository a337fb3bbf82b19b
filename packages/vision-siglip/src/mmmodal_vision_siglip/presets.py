"""The published models of fixed resolution by name: a table, and an encoder class for each."""

from __future__ import annotations

import re

from mmmodal.authoring.parts import Card
from mmmodal_vision_siglip.encoder import Siglip

__all__ = ["PRESETS"]

SOURCES = {
    # SigLIP: arXiv 2303.15343; huggingface.co/collections/google/siglip
    "siglip-base-224": "google/siglip-base-patch16-224",
    "siglip-base-256": "google/siglip-base-patch16-256",
    "siglip-base-256-multilingual": "google/siglip-base-patch16-256-multilingual",
    "siglip-base-384": "google/siglip-base-patch16-384",
    "siglip-base-512": "google/siglip-base-patch16-512",
    "siglip-large-256": "google/siglip-large-patch16-256",
    "siglip-large-384": "google/siglip-large-patch16-384",
    "siglip-so400m-224": "google/siglip-so400m-patch14-224",
    "siglip-so400m-256-i18n": "google/siglip-so400m-patch16-256-i18n",
    "siglip-so400m-384": "google/siglip-so400m-patch14-384",
    # SigLIP 2: arXiv 2502.14786; huggingface.co/collections/google/siglip2
    "siglip2-base-224": "google/siglip2-base-patch16-224",
    "siglip2-base-256": "google/siglip2-base-patch16-256",
    "siglip2-base-patch32-256": "google/siglip2-base-patch32-256",
    "siglip2-base-384": "google/siglip2-base-patch16-384",
    "siglip2-base-512": "google/siglip2-base-patch16-512",
    "siglip2-large-256": "google/siglip2-large-patch16-256",
    "siglip2-large-384": "google/siglip2-large-patch16-384",
    "siglip2-large-512": "google/siglip2-large-patch16-512",
    "siglip2-so400m-224": "google/siglip2-so400m-patch14-224",
    "siglip2-so400m-256": "google/siglip2-so400m-patch16-256",
    "siglip2-so400m-384": "google/siglip2-so400m-patch14-384",
    "siglip2-so400m-patch16-384": "google/siglip2-so400m-patch16-384",
    "siglip2-so400m-512": "google/siglip2-so400m-patch16-512",
    "siglip2-giant-256": "google/siglip2-giant-opt-patch16-256",
    "siglip2-giant-384": "google/siglip2-giant-opt-patch16-384",
}
"""A name includes the patch size only if two models would have the same name, for the rarer one."""

WIDTHS = {"base": 768, "large": 1024, "so400m": 1152, "giant": 1536}


def _card(source: str) -> Card:
    """Return the card of a model, from its Hub id; all have the same licence."""
    size, patch, side = re.findall(r"siglip2?-([a-z0-9]+)-.*patch(\d+)-(\d+)", source)[0]
    return Card(WIDTHS[size], (int(side) // int(patch)) ** 2, "image", "Apache-2.0")


def _preset(name: str, source: str) -> type[Siglip]:
    title = "".join(word.capitalize() for word in name.split("-"))
    members = {
        "name": name,
        "source": source,
        "card": _card(source),
        "__doc__": f"{source}.",
        "__module__": __name__,
    }
    return type(title, (Siglip,), members)


PRESETS = tuple(_preset(name, source) for name, source in SOURCES.items())

# Spawned data workers find a class by its name in its module.
globals().update({preset.__name__: preset for preset in PRESETS})
