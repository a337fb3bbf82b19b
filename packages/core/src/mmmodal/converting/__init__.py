"""Convert checkpoints of other projects: recognise the format, find the parts, write a folder."""

from mmmodal.converting.conversion import convert, recognise

__all__ = ["convert", "recognise"]
