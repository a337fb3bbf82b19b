"""The formats in which SigLIP is published: one module for each."""

from mmmodal_vision_siglip.formats.recognition import open_checkpoint

__all__ = ["open_checkpoint"]
