"""Others' composed checkpoints: recognise the format, describe the parts, write a model folder."""

from mmmodal.converting.conversion import convert, recognise

__all__ = ["convert", "recognise"]
