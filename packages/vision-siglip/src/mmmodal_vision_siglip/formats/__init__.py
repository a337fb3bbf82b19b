"""The formats SigLIP is published in, one module each, and what all of them can tell."""

from mmmodal_vision_siglip.formats.recognition import open_checkpoint

__all__ = ["open_checkpoint"]
