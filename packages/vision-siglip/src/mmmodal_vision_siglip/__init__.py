"""SigLIP as an image encoder: `siglip` accepts any source; presets have their own."""

from __future__ import annotations

from mmmodal.authoring.parts import Encoder
from mmmodal.authoring.plugins import hookimpl
from mmmodal_vision_siglip.encoder import Siglip, SiglipOptions
from mmmodal_vision_siglip.presets import PRESETS

__all__ = ["Siglip", "SiglipOptions"]


@hookimpl
def mmmodal_encoders() -> list[type[Encoder]]:
    """Return SigLIP for any source, and the published models by name."""
    return [Siglip, *PRESETS]
