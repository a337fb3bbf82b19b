"""The backbone of core: any causal language model of transformers."""

from mmmodal.backbones.auto import AutoBackbone

__all__ = ["AutoBackbone"]
