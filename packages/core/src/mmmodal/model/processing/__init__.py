"""transformers' processor for a composed model: its arguments and names, around the preparer."""

from mmmodal.model.processing.processor import MMModalProcessor

__all__ = ["MMModalProcessor"]
